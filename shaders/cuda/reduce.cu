// Up to six levels from one that is stored already, and the texels of a level as a tensor. defines: STORED, PLANE (levels.cuh)
#include "cuda/levels.cuh"

extern "C" __global__ void __launch_bounds__(GROUP) reduce(
    int2 limit,      // (width, height) of the base level
    int count,       // how many levels to write, at most 6
    int first_layer,
    const __grid_constant__ Surfaces levels // the base level first
) {
    int layer = first_layer + (int)blockIdx.z;
    int2 own = morton(threadIdx.x);
    int2 first = make_int2(((int)blockIdx.x * 16 + own.x) * 4, ((int)blockIdx.y * 16 + own.y) * 4);
    float4 square[16];
    for (int i = 0; i < 16; ++i) {
        int x = first.x + i % 4;
        int y = first.y + i / 4;
        square[i] = x < limit.x && y < limit.y ? load_own(levels.level[0], x, y, layer) : make_float4(0.0f, 0.0f, 0.0f, 0.0f);
    }
    write_levels(square, limit, layer, 1.0f, count, levels.level + 1);
}

// [layers, height, width, 4] in 0..1 of one level. One thread a texel.
extern "C" __global__ void __launch_bounds__(GROUP) read_level(cudaSurfaceObject_t level, int2 size, float4* texels) {
    int x = (int)(blockIdx.x * GROUP + threadIdx.x);
    int y = (int)blockIdx.y;
    int layer = (int)blockIdx.z;
    if (x < size.x) {
        texels[((size_t)layer * size.y + y) * size.x + x] = load_own(level, x, y, layer) / one(STORED);
    }
}
