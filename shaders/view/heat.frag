// A map stretched over the image, as colours over the picture.
#version 430
#include "view/camera.glsl"
#include "view/palette.glsl"

layout(binding = 5) uniform sampler2D map;
uniform float peak;
uniform float opacity;

out vec4 color;

void main() {
    float value = textureLod(map, to_image(gl_FragCoord.xy) / image_px, 0.0).r / max(peak, 1e-30);
    color = vec4(heat_color(value), opacity);
}
