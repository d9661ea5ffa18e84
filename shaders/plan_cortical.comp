// Writes the texels of the log-polar image of one fixation, [N, P, P]; the twin of homunculus/layouts/cortical.py and of
// CorticalChart.footprints in warped.py. Groups share the tokens. defines: LAW (cortex.glsl)
#version 430
#include "cortex.glsl"

layout(local_size_x = THREADS) in;

layout(std430, binding = 1) writeonly buffer Rows { vec4 rows[]; };

uniform int patch_size;
uniform int rings;
uniform int wedges;
uniform float layer;
uniform float given_a_px;  // 0: calibrate
#if LAW != LAW_UNIFORM
uniform int budget;
#endif

void main() {
    if (fixation_count < 1) return;
#if LAW == LAW_UNIFORM
    float a_px = given_a_px;
#else
    float a_px = given_a_px > 0.0 ? given_a_px : calibrate(float(budget), float(patch_size));
#endif
    vec2 origin = fixation(0);
    float radius_px = length(max(origin, image_px - origin));
    float ring_step = log1p(radius_px / a_px) / float(rings * patch_size);
    int columns = wedges * patch_size;
    for (int token = int(gl_WorkGroupID.x); token < rings * wedges; token += int(gl_NumWorkGroups.x)) {
        for (int texel = int(gl_LocalInvocationIndex); texel < patch_size * patch_size; texel += THREADS) {
            int ring = token / wedges * patch_size + texel / patch_size;
            int column = token % wedges * patch_size + texel % patch_size;
            float edge_px = a_px * expm1(float(ring) * ring_step);
            float width_px = (edge_px + a_px) * expm1(ring_step);
            float middle_px = edge_px + width_px / 2.0;
            // (column + 1/2) / columns turns as a whole number of quarter turns and a rest.
            int quarters = 4 * (2 * column + 1);
            int quadrant = (quarters + columns) / (2 * columns);
            vec2 outwards = direction(quadrant, float(quarters - quadrant * 2 * columns) / float(2 * columns)) * vec2(1.0, -1.0);
            vec2 along = vec2(outwards.y, -outwards.x);
            int row = token * patch_size * patch_size + texel;
            rows[2 * row] = vec4(origin + middle_px * outwards, along * (middle_px * TAU / float(columns)));
            rows[2 * row + 1] = vec4(width_px * outwards, layer, 0.0);
        }
    }
}
