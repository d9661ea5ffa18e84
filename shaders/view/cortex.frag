// The cortical image. defines: HEMIFIELDS (0: the chart, the fixation at its upper edge; 1: both hemifields, w = log(|x| + iy + a),
// the left one mirrored, the fixation in the middle: Schwartz 1980)
#version 430
#include "view/camera.glsl"
#include "view/chart.glsl"

layout(binding = 1) uniform sampler2D atlas;
uniform vec3 unseen;

out vec4 color;

void main() {
    vec2 place = (gl_FragCoord.xy - corner_px) / area_px;  // 0..1
#if HEMIFIELDS
    vec2 w = (place * 2.0 - 1.0) * vec2(log(1.0 + radius_px / a_px), TURN / 4.0);
    vec2 z = a_px * exp(abs(w.x)) * vec2(cos(w.y), sin(w.y)) - vec2(a_px, 0.0);
    if (z.x < 0.0 || length(z) > radius_px) discard;
    place = chart_place(fixation_px + vec2(w.x < 0.0 ? -z.x : z.x, z.y)) / texels();
#endif
    place.y = clamp(place.y, 0.5 / texels().y, 1.0 - 0.5 / texels().y);
    vec4 seen = textureLod(atlas, place, 0.0);
    color = vec4(seen.a > 1.0 / 16.0 ? seen.rgb / seen.a : unseen, 1.0);
}
