// Up to six pyramid levels from a 64 x 64 tile of the level below them: a block of 256 threads, each with a 4 x 4 square of texels,
// every level the exact mean of its square. The same scheme as shaders/reduce.comp: thread ids run in Morton order, so that four
// neighbours in id are a 2 x 2 quad on every level. defines: STORED (8, 16 or 32 bits a channel),
// PLANE (1 or 2 channels of bytes, the others 0; or none: 4 channels)
#include "cuda/vectors.cuh"
#include "cuda/texels.cuh"

#define GROUP 256
#define MAX_SURFACES 7

struct Surfaces {
    cudaSurfaceObject_t level[MAX_SURFACES];
};

__device__ inline int2 morton(unsigned int id) {
    unsigned int x = id & 0x55u;
    unsigned int y = (id >> 1) & 0x55u;
    x = (x | (x >> 1)) & 0x33u;
    y = (y | (y >> 1)) & 0x33u;
    x = (x | (x >> 2)) & 0x0fu;
    y = (y | (y >> 2)) & 0x0fu;
    return make_int2((int)x, (int)y);
}

// A texel as `store` takes it.
__device__ inline float4 load_own(cudaSurfaceObject_t surface, int x, int y, int layer) {
#ifdef PLANE
    unsigned int packed = PLANE == 1 ? surf2DLayeredread<unsigned char>(surface, x, y, layer)
                                     : surf2DLayeredread<unsigned short>(surface, x * 2, y, layer);
    return make_float4((float)(packed & 255u), (float)(packed >> 8), 0.0f, 0.0f);
#else
    return load(surface, STORED, x, y, layer);
#endif
}

__device__ inline void store(cudaSurfaceObject_t surface, int x, int y, int layer, float4 value) {
#ifdef PLANE
    unsigned int packed = (unsigned int)rintf(value.x) | (unsigned int)rintf(value.y) << 8;
#if PLANE == 1
    surf2DLayeredwrite((unsigned char)packed, surface, x, y, layer);
#else
    surf2DLayeredwrite((unsigned short)packed, surface, x * 2, y, layer);
#endif
#elif STORED == 8
    unsigned int packed = (unsigned int)rintf(value.x) | (unsigned int)rintf(value.y) << 8
                        | (unsigned int)rintf(value.z) << 16 | (unsigned int)rintf(value.w) << 24;
    surf2DLayeredwrite(packed, surface, x * 4, y, layer);
#elif STORED == 16
    surf2DLayeredwrite(
        make_ushort4(half_bits(value.x), half_bits(value.y), half_bits(value.z), half_bits(value.w)), surface, x * 8, y, layer
    );
#else
    surf2DLayeredwrite(value, surface, x * 16, y, layer);
#endif
}

__device__ inline float4 quad(const float4* sums, unsigned int first, unsigned int stride) {
    return (sums[first] + sums[first + stride]) + (sums[first + 2 * stride] + sums[first + 3 * stride]);
}

// Writes levels 1..count above the base, whose texels inside `limit` (width, height) are given as this thread's square, row by row.
// `unit` is what stands for 1 in them and not in what is stored. Called by all threads of the block.
__device__ inline void write_levels(const float4* square, int2 limit, int layer, float unit, int count, const cudaSurfaceObject_t* above) {
    __shared__ float4 sums[GROUP];
    if (count < 1) {
        return;
    }
    unsigned int id = threadIdx.x;
    int2 own = morton(id);
    int2 tile = make_int2((int)blockIdx.x, (int)blockIdx.y);
    int2 cell = make_int2(tile.x * 16 + own.x, tile.y * 16 + own.y);
    float4 sum = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
    for (int i = 0; i < 4; ++i) {
        int2 corner = make_int2(i & 1, i >> 1);
        const float4* first = square + corner.y * 8 + corner.x * 2;
        float4 pair = (first[0] + first[1]) + (first[4] + first[5]);
        int2 texel = make_int2(cell.x * 2 + corner.x, cell.y * 2 + corner.y);
        if (texel.x * 2 < limit.x && texel.y * 2 < limit.y) {
            store(above[0], texel.x, texel.y, layer, pair / (4.0f * unit));
        }
        sum = sum + pair;
    }
    if (count > 1 && cell.x * 4 < limit.x && cell.y * 4 < limit.y) {
        store(above[1], cell.x, cell.y, layer, sum / (16.0f * unit));
    }
    sums[id] = sum;
    __syncthreads();
    // Level 3 reads the sums of four threads, level 4 those of the four before, and so on: one thread in 4, 16, 64, 256.
    unsigned int stride = 1;
    float area = 64.0f;
    for (int level = 3; level <= count; ++level, stride *= 4, area *= 4.0f) {
        bool busy = id < GROUP / (4 * stride);
        if (busy) {
            int side = 64 >> level;
            int2 texel = make_int2(tile.x * side + own.x, tile.y * side + own.y);
            sum = quad(sums, id * 4 * stride, stride);
            if (texel.x << level < limit.x && texel.y << level < limit.y) {
                store(above[level - 1], texel.x, texel.y, layer, sum / (area * unit));
            }
            sums[id * 4 * stride] = sum;
        }
        __syncthreads();
    }
}
