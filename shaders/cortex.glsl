// The laws of token density over eccentricity and their calibration; the same functions, under the same names, stand in
// homunculus/cortex.py. For one work group of 256 threads. defines: LAW
//
// Twin and shader must keep the same points, so float32 may not lose what the laws need near the fixation, nor depend on a
// driver's exp and sin (wrong by 4e-6 and 4e-7 on llvmpipe). Hence the elementary functions below, good to 3e-7: what would
// cancel is summed as a series, and angles are whole numbers until the last step.

#define LAW_AREAL 0
#define LAW_LINEAR 1
#define LAW_CAP 2
#define LAW_UNIFORM 3

#define THREADS 256
const int NEWTON_STEPS = 3;
const int RAYS = 512;  // a fixation, 64 to each half of each side
const float LEAST_PX = 1e-3;
const int A_HALVINGS = 32;
const vec2 A_OVER_SIDE0 = vec2(1.0 / 1048576.0, 1048576.0);

const float TAU = 6.28318530718;
const float SMALLEST = 1e-30;

layout(std430, binding = 0) readonly buffer Fixations { vec2 fixations[]; };
uniform int fixation_count;
uniform vec2 image_px;  // width, height

shared float partial_sums[THREADS];
shared float group_sums[16];

// The same sum in every thread, whatever the order in which threads run.
float sum_over_threads(float value) {
    int thread = int(gl_LocalInvocationIndex);
    memoryBarrierShared();
    barrier();
    partial_sums[thread] = value;
    memoryBarrierShared();
    barrier();
    if (thread < 16) {
        float part = 0.0;
        for (int k = 0; k < THREADS / 16; k++) part += partial_sums[thread * (THREADS / 16) + k];
        group_sums[thread] = part;
    }
    memoryBarrierShared();
    barrier();
    if (thread == 0) {
        float total = 0.0;
        for (int k = 0; k < 16; k++) total += group_sums[k];
        group_sums[0] = total;
    }
    memoryBarrierShared();
    barrier();
    return group_sums[0];
}

// ln(1 + u) = e ln 2 + 2 artanh((m - 1) / (m + 1)) of 1 + u = m 2^e, m within sqrt 2 of 1.
float log1p(float u) {
    int exponent = 0;
    float z = u / (2.0 + u);
    if (u > 0.41421356) {
        float mantissa = frexp(1.0 + u, exponent);
        if (mantissa < 0.70710678) {
            mantissa *= 2.0;
            exponent--;
        }
        z = (mantissa - 1.0) / (mantissa + 1.0);
    }
    float s = z * z;
    return float(exponent) * 0.69314718056
        + 2.0 * z * (1.0 + s * (1.0 / 3.0 + s * (1.0 / 5.0 + s * (1.0 / 7.0 + s * (1.0 / 9.0)))));
}

// exp(x) - 1 for |x| <= ln(2) / 2 by its series.
float expm1_near_zero(float x) {
    return x * (1.0 + x / 2.0 * (1.0 + x / 3.0 * (1.0 + x / 4.0 * (1.0 + x / 5.0 * (1.0 + x / 6.0 * (1.0 + x / 7.0))))));
}

float expm1(float x) {
    float exponent = round(x * 1.44269504);
    if (exponent == 0.0) return expm1_near_zero(x);
    // ln 2 in two parts, the first short enough to be multiplied without rounding.
    float rest = (x - exponent * 0.693359375) + exponent * 2.12194440e-4;
    return ldexp(1.0 + expm1_near_zero(rest), int(exponent)) - 1.0;
}

// v - 1 + exp(-v).
float bend(float v) {
    if (abs(v) > 1.0) return v + expm1(-v);
    float series = 1.0;
    for (int n = 12; n >= 3; n--) series = 1.0 - v / float(n) * series;
    return v * v / 2.0 * series;
}

// Cosine and sine of (quadrant + rest) quarter turns, |rest| <= 1/2.
vec2 direction(int quadrant, float rest) {
    float x = rest * (TAU / 4.0);
    float s = x * x;
    float sine = x * (1.0 - s / 6.0 * (1.0 - s / 20.0 * (1.0 - s / 42.0 * (1.0 - s / 72.0))));
    float cosine = 1.0 - s / 2.0 * (1.0 - s / 12.0 * (1.0 - s / 30.0 * (1.0 - s / 56.0 * (1.0 - s / 90.0))));
    vec2 turned = (quadrant & 1) == 0 ? vec2(cosine, sine) : vec2(-sine, cosine);
    return (quadrant & 2) == 0 ? turned : -turned;
}

// Cosine and sine of `turn` / 2^32 turns.
vec2 direction_of_turn(uint turn) {
    uint quadrant = (turn + 0x20000000u) >> 30;
    return direction(int(quadrant), float(int(turn - (quadrant << 30))) / 1073741824.0);
}

// density rho(e) / rho(0), its integral G(u) of density(u) u du, the inverse of that, and the side S(e) / S(0); u = e / a.
#if LAW == LAW_AREAL  // 1 / (1 + u)^2: tokens per area follow M(e) squared (Horton & Hoyt 1991)
float law_integral(float u) { return bend(log1p(u)); }
float law_inverse(float y) {
    float v = sqrt(2.0 * y + y * y);
    for (int n = 0; n < NEWTON_STEPS; n++) v -= (bend(v) - y) / max(-expm1(-v), SMALLEST);
    return expm1(v);
}
float law_side(float u) { return 1.0 + u; }
#elif LAW == LAW_LINEAR  // 1 / (1 + u): tokens per area follow M(e) itself
float law_integral(float u) { return bend(-log1p(u)); }
float law_inverse(float y) {
    float u = y + sqrt(2.0 * y);
    for (int n = 0; n < NEWTON_STEPS; n++) u -= (law_integral(u) - y) * (1.0 + u) / max(u, SMALLEST);
    return u;
}
float law_side(float u) { return sqrt(1.0 + u); }
#elif LAW == LAW_CAP  // 1 / (1 + u^2): smooth at the fixation (Florack 2014)
float law_integral(float u) { return log1p(u * u) / 2.0; }
float law_inverse(float y) { return sqrt(expm1(2.0 * y)); }
float law_side(float u) { return sqrt(1.0 + u * u); }
#else  // 1: no fovea at all
float law_integral(float u) { return u * u / 2.0; }
float law_inverse(float y) { return sqrt(2.0 * y); }
float law_side(float u) { return 1.0; }
#endif

// Whatever the buffer holds, no thread may be sent on an endless walk.
vec2 fixation(int index) {
    return clamp(fixations[index], vec2(0.0), image_px);
}

vec2 swapped(vec2 a) { return vec2(a.y, a.x); }

// ln(u + sqrt(1 + u^2)) for u >= 0.
float area_sinh(float u) { return log1p(u + u * u / (1.0 + sqrt(1.0 + u * u))); }

// Ray k of fixation j: how far the part of the image nearest to it extends along the ray, and the radians that the ray stands for.
// As in homunculus/cortex.py: bit 0 of the half says which way along its side, bit 1 which of two sides, bit 2 which axis.
vec2 ray(int j, int k) {
    vec2 own = fixation(j);
    int side = k / (RAYS / 8);
    vec2 way = vec2((side & 2) == 0 ? 1.0 : -1.0, (side & 1) == 0 ? 1.0 : -1.0);  // towards the side, along it
    bool upright = (side & 4) != 0;  // towards y
    vec2 room = upright ? swapped(own) : own;
    vec2 far = upright ? swapped(image_px) : image_px;
    room = mix(room, far - room, greaterThan(way, vec2(0.0)));
    if (room.x <= LEAST_PX) return vec2(0.0);
    float last = area_sinh(room.y / room.x);
    float grown = expm1(last * ((float(k % (RAYS / 8)) + 0.5) / float(RAYS / 8)));
    float sinh_t = (grown + grown / (1.0 + grown)) / 2.0;
    float cosh_t = 1.0 + grown * (grown / (1.0 + grown)) / 2.0;
    vec2 along = way * vec2(1.0, sinh_t) / cosh_t;
    if (upright) along = swapped(along);
    float reach = room.x * cosh_t;
    for (int other = 0; other < fixation_count; other++) {
        vec2 between = fixation(other) - own;
        float half_squared = dot(between, between) / 2.0;
        float component = dot(along, between);
        if (half_squared == 0.0 && other < j) reach = 0.0;
        if (component > 0.0) reach = min(reach, half_squared / component);
    }
    return vec2(reach, last / float(RAYS / 8) / cosh_t);
}

// I(a), the integral of density(e / a) / a^2 over the image, by the midpoint rule. Every thread gets the same number.
float mass(float a_px) {
    float sum = 0.0;
    for (int k = int(gl_LocalInvocationIndex); k < RAYS; k += THREADS) {
        for (int j = 0; j < fixation_count; j++) {
            vec2 seen = ray(j, k);
            sum += law_integral(seen.x / a_px) * seen.y;
        }
    }
    return sum_over_threads(sum);
}

// The constant a at which budget = (a / side0)^2 I(a), by bisection in log(a).
float calibrate(float budget, float side0_px) {
    float low = side0_px * A_OVER_SIDE0.x;
    float high = side0_px * A_OVER_SIDE0.y;
    for (int n = 0; n < A_HALVINGS; n++) {
        float a_px = sqrt(low * high);
        float relative = a_px / side0_px;
        if (relative * relative * mass(a_px) < budget) low = a_px;
        else high = a_px;
    }
    return low;
}
