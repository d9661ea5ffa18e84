// One block a patch: filters every texel of its footprint and writes planes [N, 3, P, P] and the share inside the image [N].
// defines: QUALITY (footprint.cuh), ELEMENT (0 float32, 1 float16, 2 bfloat16), WARPED (1: a footprint per texel)
#include "cuda/footprint.cuh"
#include "cuda/rounding.cuh"

#define MAX_WARPS 32

#if ELEMENT == 0
typedef float Element;
__device__ inline Element element(float value) { return value; }
#elif ELEMENT == 1
typedef unsigned short Element;
__device__ inline Element element(float value) { return half_bits(value); }
#else
typedef unsigned short Element;
__device__ inline Element element(float value) { return bfloat16_bits(value); }
#endif

extern "C" __global__ void __launch_bounds__(256) sample(
    cudaTextureObject_t pyramid,
    const float4* rows,
    Element* pixels,
    float* inside,
    int patch_size,
    float2 scale,
    float max_level,
    int layers,
    float3 mean,
    float3 inverse_std
) {
    __shared__ float alphas[MAX_WARPS];
    int texels = patch_size * patch_size;
    size_t patch = blockIdx.x;
    Element* red = pixels + patch * 3 * texels;
#if !WARPED
    Footprint own = unpack_footprint(rows[2 * patch], rows[2 * patch + 1]);
    Filter own_filter = prepare(own, scale, max_level, layers);
#endif
    float alpha = 0.0f;
    for (int texel = (int)threadIdx.x; texel < texels; texel += (int)blockDim.x) {
#if WARPED
        size_t row = patch * texels + texel;
        Footprint own = unpack_footprint(rows[2 * row], rows[2 * row + 1]);
        float4 rgba = apply(prepare(own, scale, max_level, layers), pyramid, own.center * scale);
#else
        float middle = 0.5f - 0.5f * (float)patch_size;
        float x = (float)(texel % patch_size) + middle;
        float y = (float)(texel / patch_size) + middle;
        float4 rgba = apply(own_filter, pyramid, (own.center + x * own.right + y * own.down) * scale);
#endif
        // Colour of the part inside the image; fades to the neutral value 0 where hardly any of the texel is inside.
        float share = 1.0f / fmaxf(rgba.w, MIN_ALPHA);
        red[texel] = element((rgba.x - rgba.w * mean.x) * inverse_std.x * share);
        red[texels + texel] = element((rgba.y - rgba.w * mean.y) * inverse_std.y * share);
        red[2 * texels + texel] = element((rgba.z - rgba.w * mean.z) * inverse_std.z * share);
        alpha += rgba.w;
    }
    for (int offset = 16; offset > 0; offset /= 2) {
        alpha += __shfl_xor_sync(0xffffffffu, alpha, offset);
    }
    if (threadIdx.x % 32 == 0) {
        alphas[threadIdx.x / 32] = alpha;
    }
    __syncthreads();
    if (threadIdx.x == 0) {
        float total = 0.0f;
        for (int warp = 0; warp < (int)blockDim.x / 32; ++warp) {
            total += alphas[warp];
        }
        inside[patch] = total / (float)texels;
    }
}
