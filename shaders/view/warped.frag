// The one warped patch that sees a pixel, bilinear within it, and the share of it inside the image. defines: FINEST (1: its level of detail)
#version 430
#include "footprint.glsl"
#include "view/camera.glsl"
#include "view/chart.glsl"

layout(binding = 1) uniform sampler2D atlas;
uniform int max_atlas_level;

out vec4 sums;

const float COARSEST_LOD = 64.0;

void main() {
    vec2 point = to_image(gl_FragCoord.xy);
    vec2 place = chart_place(point);
    vec2 axes_px = chart_axes_px(place);
#if FINEST
    Taps cut = taps(vec2(axes_px.x, 0.0), vec2(0.0, axes_px.y), 1000.0);
    sums = vec4(COARSEST_LOD - quality_lod(cut.step_px, 0.0));
#else
    // Texels that hardly touch the image hold next to nothing: pixels near the border show the texel next to them.
    float angle = (floor(place.x) + 0.5) / texels().x * TURN;
    vec2 outwards = vec2(cos(angle), -sin(angle));
    vec2 extents = abs(vec2(outwards.y, -outwards.x)) * axes_px.x + abs(outwards) * axes_px.y;
    vec2 half_px = min(extents, image_px) / 2.0;
    vec2 inner = min(max(point, half_px), image_px - half_px);
    if (inner != point) place = chart_place(inner);
    vec2 token = min(floor(place / float(patch_size)), vec2(tokens) - 1.0);
    float level = clamp(round(log2(step_px / max(sqrt(axes_px.x * axes_px.y), 1.0))), 0.0, float(max_atlas_level));
    float border = 0.5 * exp2(level);
    vec2 texel = clamp(place - token * float(patch_size), vec2(border), vec2(float(patch_size) - border));
    sums = textureLod(atlas, (token * float(patch_size) + texel) / texels(), level);
#endif
}
