// The level of detail of a footprint, of which the least is kept.
#version 430
#include "view/camera.glsl"
#include "view/seen.glsl"

out vec4 finest;

void main() {
    if (outside_patch(place_in_patch(to_image(gl_FragCoord.xy)))) discard;
    finest = vec4(lod);
}
