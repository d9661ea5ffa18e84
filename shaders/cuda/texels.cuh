// A texel of one level of a pyramid by its surface object. `bits`: of a channel as stored, 8, 16 or 32.
#include "cuda/rounding.cuh"

// Bytes count 0..255, so that sums of them are whole numbers, which float32 holds exactly.
__device__ inline float4 load(cudaSurfaceObject_t surface, int bits, int x, int y, int layer) {
    if (bits == 8) {
        unsigned int packed = surf2DLayeredread<unsigned int>(surface, x * 4, y, layer);
        return make_float4(
            (float)(packed & 255u), (float)(packed >> 8 & 255u), (float)(packed >> 16 & 255u), (float)(packed >> 24)
        );
    }
    if (bits == 16) {
        ushort4 packed = surf2DLayeredread<ushort4>(surface, x * 8, y, layer);
        return make_float4(half_value(packed.x), half_value(packed.y), half_value(packed.z), half_value(packed.w));
    }
    return surf2DLayeredread<float4>(surface, x * 16, y, layer);
}

// What is loaded of a channel that is 1.
__device__ inline float one(int bits) {
    return bits == 8 ? 255.0f : 1.0f;
}
