// One instance a straight line in target pixels.
#version 430
#include "view/camera.glsl"

layout(location = 0) in vec4 ends;   // from, to
layout(location = 1) in vec4 color;
layout(location = 2) in float width_px;

flat out vec4 line_color;
flat out float half_px;
out float away_px;

const ivec2 ENDS[6] = ivec2[](ivec2(0, -1), ivec2(0, 1), ivec2(1, -1), ivec2(1, -1), ivec2(0, 1), ivec2(1, 1));

void main() {
    ivec2 end = ENDS[gl_VertexID];
    vec2 along = ends.zw - ends.xy;
    along /= max(length(along), 1e-6);
    half_px = 0.5 * width_px;
    away_px = float(end.y) * (half_px + 0.5);
    line_color = color;
    gl_Position = position((end.x == 0 ? ends.xy : ends.zw) + vec2(-along.y, along.x) * away_px);
}
