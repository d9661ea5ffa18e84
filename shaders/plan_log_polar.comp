// One work group: writes `budget` footprints on golden-angle spirals around the fixations; the twin of
// homunculus/layouts/log_polar.py, function by function. defines: LAW (cortex.glsl)
#version 430
#include "cortex.glsl"

layout(local_size_x = THREADS) in;

layout(std430, binding = 1) writeonly buffer Rows { vec4 rows[]; };

uniform int budget;
uniform int patch_size;
uniform float overlap;
uniform float least_side_px;
uniform float layer;

void write_row(int row, vec2 center, vec2 side_px) {
    side_px = max(side_px, vec2(least_side_px));
    vec2 half_px = min(side_px, image_px) / 2.0;
    center = min(max(center, half_px), image_px - half_px);
    vec2 texel = side_px / float(patch_size);
    rows[2 * row] = vec4(center, texel.x, 0.0);
    rows[2 * row + 1] = vec4(0.0, texel.y, layer, 0.0);
}

#if LAW == LAW_UNIFORM

uniform int grid_rows;

// homunculus/layouts/grid.py, cells: rows of nearly equal column counts, each as high as its share of the cells.
void main() {
    if (fixation_count < 1) return;
    for (int cell = int(gl_LocalInvocationIndex); cell < budget; cell += THREADS) {
        int row = ((cell + 1) * grid_rows - 1) / budget;
        int first = budget * row / grid_rows;
        float columns = float(budget * (row + 1) / grid_rows - first);
        vec2 side_px = image_px * vec2(1.0 / columns, columns / float(budget));
        vec2 center = image_px * vec2((float(cell - first) + 0.5) / columns, (float(first) + 0.5 * columns) / float(budget));
        write_row(cell, center, overlap * side_px);
    }
}

#else

uniform float given_a_px;  // 0: calibrate

const uint GOLDEN_TURN = 1640531527u;  // pi (3 - sqrt 5), in 2^-32 turns
const float INSET = 0.4;
#if LAW == LAW_LINEAR
const float FOVEAL_OVERLAP = 2.4;
#else
const float FOVEAL_OVERLAP = 1.63;
#endif
const int DELTA_HALVINGS = 28;
const vec2 DELTA_BRACKET = vec2(1.0 / 16.0, 1024.0);

shared uint kept_bits[THREADS / 32];

struct Point {
    vec2 center;
    float side_px;
    bool kept;
};

// Whether fixation j + offset is nearer to fixation j than to any other; of equals the first.
bool nearest(int j, vec2 own, vec2 offset) {
    if (fixation_count == 1) return true;
    for (int k = 0; k < fixation_count; k++) {
        vec2 between = fixation(k) - own;
        float along = dot(offset, between);
        float half_squared = dot(between, between) / 2.0;
        if (k < j ? along >= half_squared : along > half_squared) return false;
    }
    return true;
}

float cell0_px() {
    return float(patch_size) / max(overlap, FOVEAL_OVERLAP);
}

// The caller's, or the one at which points delta apart have cells of cell0_px at a fixation.
float constant_px(float delta) {
    return given_a_px > 0.0 ? given_a_px : cell0_px() / sqrt(TAU * delta);
}

float finest_side_px() {
    return given_a_px > 0.0 ? least_side_px : float(patch_size);
}

// Row i K + j of the candidates: point i of fixation j of K.
Point point(int row, float delta) {
    float a_px = constant_px(delta);
    int i = row / fixation_count;
    int j = row - i * fixation_count;
    float u = law_inverse((float(i) + 0.5) * delta);
    vec2 offset = a_px * u * direction_of_turn(uint(i) * GOLDEN_TURN);
    float side_px = overlap * a_px * sqrt(TAU * delta) * law_side(u);
    side_px = max(min(side_px, max(image_px.x, image_px.y)), finest_side_px());
    vec2 own = fixation(j);
    // Each a difference of small numbers beside its border, where a point may run along the margin.
    vec2 outside = max(-own - offset, offset - (image_px - own));
    bool kept = max(outside.x, outside.y) <= INSET * side_px && nearest(j, own, offset);
    return Point(own + offset, side_px, kept);
}

int candidates(float delta) {
    float corner = 0.0;
    for (int j = 0; j < fixation_count; j++) corner = max(corner, length(max(fixation(j), image_px - fixation(j))));
    float farthest = corner + INSET * sqrt(2.0) * max(max(image_px.x, image_px.y), finest_side_px());
    return (int(law_integral(farthest / constant_px(delta)) / delta) + 1) * fixation_count;
}

int count_kept(float delta) {
    int last = candidates(delta);
    int count = 0;
    for (int row = int(gl_LocalInvocationIndex); row < last; row += THREADS) count += int(point(row, delta).kept);
    return int(sum_over_threads(float(count)));
}

void main() {
    if (fixation_count < 1) return;
    int thread = int(gl_LocalInvocationIndex);
    float start_px = given_a_px > 0.0 ? given_a_px : calibrate(float(budget), cell0_px());
    float expected = mass(start_px) / (TAU * float(budget));
    float low = DELTA_BRACKET.x * expected;
    float high = DELTA_BRACKET.y * expected;
    for (int n = 0; n < DELTA_HALVINGS; n++) {
        float delta = sqrt(low * high);
        if (count_kept(delta) >= budget) low = delta;
        else high = delta;
    }
    // In order: each batch of 256 candidates publishes which it keeps, and every thread counts those before its own.
    int last = candidates(low);
    int written = 0;
    for (int first = 0; first < last && written < budget; first += THREADS) {
        if (thread < THREADS / 32) kept_bits[thread] = 0u;
        memoryBarrierShared();
        barrier();
        Point own = point(first + thread, low);
        bool kept = own.kept && first + thread < last;
        if (kept) atomicOr(kept_bits[thread / 32], 1u << (thread % 32));
        memoryBarrierShared();
        barrier();
        int before = 0;
        int all = 0;
        for (int word = 0; word < THREADS / 32; word++) {
            uint bits = kept_bits[word];
            all += bitCount(bits);
            if (word < thread / 32) before += bitCount(bits);
            else if (word == thread / 32) before += bitCount(bits & ((1u << (thread % 32)) - 1u));
        }
        if (kept && written + before < budget) write_row(written + before, own.center, vec2(own.side_px));
        written += all;
        memoryBarrierShared();
        barrier();
    }
}

#endif
