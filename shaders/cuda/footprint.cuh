// The law of sampling: how one footprint becomes texture taps. The same law, under the same names, in shaders/footprint.glsl,
// bridge/law.py and bridge/twin/sampler.py. defines: QUALITY
#include "cuda/vectors.cuh"

#define FAST 0
#define SHARP 1
#define HIGH 2
#define EXACT 3

#define MAX_TAPS 16.0f
#define RATIO_SLACK (1.0f / 64.0f)
#define SHEAR_SLACK (1.0f / 8.0f)
#define MIN_ALPHA (1.0f / 16.0f)
#define TINY 1e-30f
#define FARTHEST_PX 1099511627776.0f  // 2^40: no tap of a footprint out there lies in a picture, and no square overflows

struct Footprint {
    float2 center;  // level-0 pixels
    float2 right;   // image pixels of one patch column
    float2 down;    // image pixels of one patch row
    float layer;
    float lod_bias;
};

struct Taps {
    float2 major;
    float2 minor;
    float major_count;
    float minor_count;
    float step_px;
};

__device__ inline float2 bounded(float x, float y) {
    return make_float2(fminf(fmaxf(x, -FARTHEST_PX), FARTHEST_PX), fminf(fmaxf(y, -FARTHEST_PX), FARTHEST_PX));
}

__device__ inline Footprint unpack_footprint(float4 head, float4 tail) {
    return {bounded(head.x, head.y), bounded(head.z, head.w), bounded(tail.x, tail.y), rintf(tail.z), tail.w};
}

__device__ inline float step_count(float ratio) {
    return fminf(fmaxf(ceilf(ratio - RATIO_SLACK), 1.0f), MAX_TAPS);
}

struct Axes {
    float2 right;
    float2 down;
};

// The axes of the texel's ellipse, each in the place of the side that it is nearest to: one Jacobi rotation between the sides.
__device__ inline Axes singular_axes(float2 right, float2 down) {
    float overlap = dot(right, down);
    float shear = fabsf(overlap) / fmaxf(length(right) * length(down), TINY);
    float share = fminf(fmaxf(shear / SHEAR_SLACK - 1.0f, 0.0f), 1.0f);
    if (share == 0.0f) {
        return {right, down};
    }
    float total = fmaxf(dot(right, right) + dot(down, down), TINY);
    float difference = (dot(right, right) - dot(down, down)) / total;
    float twice = 2.0f * share * overlap / total;
    float tangent = twice / (fabsf(difference) + sqrtf(difference * difference + twice * twice));
    tangent = difference < 0.0f ? -tangent : tangent;
    float cosine = 1.0f / sqrtf(1.0f + tangent * tangent);
    float sine = tangent * cosine;
    return {cosine * right + sine * down, cosine * down - sine * right};
}

__device__ inline Taps taps(float2 right, float2 down, float max_level) {
    Axes axes = singular_axes(right, down);
    right = axes.right;
    down = axes.down;
    float right_px = length(right);
    float down_px = length(down);
    bool down_is_major = down_px > right_px;
    float major_px = fmaxf(right_px, down_px);
    float minor_px = fminf(right_px, down_px);
    float coarsest_px = exp2f(max_level);
    float major_count = step_count(major_px / fminf(fmaxf(minor_px, TINY), coarsest_px));
    float minor_count = step_count(minor_px / coarsest_px);
    float step_px = fmaxf(major_px / major_count, minor_px / minor_count);
    return {down_is_major ? down : right, down_is_major ? right : down, major_count, minor_count, step_px};
}

__device__ inline float quality_lod(float step_px, float lod_bias) {
    float lod = log2f(fmaxf(step_px, 1.0f)) + lod_bias;
#if QUALITY == SHARP
    return lod - 0.5f;
#elif QUALITY == HIGH
    return lod - 1.0f;
#elif QUALITY == EXACT
    return rintf(lod) - 2.0f;
#else
    return lod;
#endif
}

// Half the distance between the two taps of a step along one axis, as a share of that axis.
__device__ inline float pair_offset(float step_px, float axis_px) {
#if QUALITY == EXACT
    return step_px > 1.0f ? 0.25f : 0.0f;
#else
    float width_px = fmaxf(step_px / 2.0f, 1.0f);
    float excess = fmaxf((axis_px * axis_px - 2.0f * width_px * width_px + 1.0f) / 12.0f, 0.0f);
    return sqrtf(excess) / fmaxf(axis_px, TINY);
#endif
}

// What all texels of one footprint share. Vectors in texture coordinates.
struct Filter {
    float2 first;   // from the texel's centre to its first tap
    float2 major;   // one step
    float2 minor;
    float2 across;  // half the distance between the two taps of a step, qualities HIGH and EXACT
    float2 along;
    int layer;
    float lod;
    int major_count;
    int minor_count;
};

// `scale` is 1 / padded size.
__device__ inline Filter prepare(Footprint footprint, float2 scale, float max_level, int layers) {
    Taps cut = taps(footprint.right, footprint.down, max_level);
    float2 major = cut.major / cut.major_count;
    float2 minor = cut.minor / cut.minor_count;
    Filter filter;
    filter.first = 0.5f * (major + minor - cut.major - cut.minor) * scale;
    filter.major = major * scale;
    filter.minor = minor * scale;
    filter.across = pair_offset(cut.step_px, length(major)) * (major * scale);
    filter.along = pair_offset(cut.step_px, length(minor)) * (minor * scale);
    filter.layer = min(max((int)footprint.layer, 0), layers - 1);
    filter.lod = fminf(fmaxf(quality_lod(cut.step_px, footprint.lod_bias), 0.0f), max_level);
    filter.major_count = (int)cut.major_count;
    filter.minor_count = (int)cut.minor_count;
    return filter;
}

__device__ inline float4 tap(cudaTextureObject_t pyramid, float2 point, Filter f) {
    return tex2DLayeredLod<float4>(pyramid, point.x, point.y, f.layer, f.lod);
}

// Premultiplied RGBA of one texel whose centre is at `point` (texture coordinates).
__device__ inline float4 apply(Filter f, cudaTextureObject_t pyramid, float2 point) {
    float4 total = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
    for (int j = 0; j < f.minor_count; ++j) {
        for (int i = 0; i < f.major_count; ++i) {
            float2 middle = point + f.first + (float)i * f.major + (float)j * f.minor;
#if QUALITY == HIGH || QUALITY == EXACT
            total = total + 0.25f * (tap(pyramid, middle - f.across - f.along, f) + tap(pyramid, middle + f.across - f.along, f)
                                   + tap(pyramid, middle - f.across + f.along, f) + tap(pyramid, middle + f.across + f.along, f));
#else
            total = total + tap(pyramid, middle, f);
#endif
        }
    }
    return total / (float)(f.major_count * f.minor_count);
}
