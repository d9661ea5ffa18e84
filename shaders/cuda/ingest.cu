// From images [B, H, W, 3] to level 0, premultiplied RGBA with alpha 1 inside and zeros in the padding, and up to six levels above it
// in the same launch: every pixel is read once. defines: BYTES (1: images are uint8, 0: float32), STORED (levels.cuh),
// PLANE (levels.cuh: images are [B, H, W, PLANE] of bytes, with BEYOND in the padding)
#include "cuda/levels.cuh"

#if BYTES
typedef unsigned char Channel;
#define OPAQUE 255.0f
#else
typedef float Channel;
#define OPAQUE 1.0f
#endif

// What is summed over what is stored: bytes are averaged as whole numbers.
#if BYTES && STORED != 8
#define UNIT 255.0f
#else
#define UNIT 1.0f
#endif

__device__ inline float4 opaque(float red, float green, float blue) {
    return make_float4(red, green, blue, OPAQUE);
}

#ifdef PLANE
#define CHANNELS PLANE
#else
#define CHANNELS 3
#endif

// Four pixels of one row from column x, which is a multiple of 4.
__device__ inline void load_row(const Channel* image, int2 size, int x, int y, float4* row) {
    const Channel* first = image + ((size_t)y * size.x + x) * CHANNELS;
#ifdef PLANE
    for (int i = 0; i < 4; ++i) {
        bool inside = y < size.y && x + i < size.x;
        row[i] = make_float4(
            inside ? (float)first[PLANE * i] : (float)BEYOND, PLANE == 1 ? 0.0f : inside ? (float)first[PLANE * i + PLANE - 1] : (float)BEYOND, 0.0f, 0.0f
        );
    }
#else
#if BYTES
    if (y < size.y && x + 4 <= size.x && ((size_t)first & 3) == 0) {
        const unsigned int* words = (const unsigned int*)first;
        unsigned int a = words[0], b = words[1], c = words[2];
        row[0] = opaque((float)(a & 255u), (float)(a >> 8 & 255u), (float)(a >> 16 & 255u));
        row[1] = opaque((float)(a >> 24), (float)(b & 255u), (float)(b >> 8 & 255u));
        row[2] = opaque((float)(b >> 16 & 255u), (float)(b >> 24), (float)(c & 255u));
        row[3] = opaque((float)(c >> 8 & 255u), (float)(c >> 16 & 255u), (float)(c >> 24));
        return;
    }
#endif
    for (int i = 0; i < 4; ++i) {
        bool inside = y < size.y && x + i < size.x;
        row[i] = inside ? opaque((float)first[3 * i], (float)first[3 * i + 1], (float)first[3 * i + 2])
                        : make_float4(0.0f, 0.0f, 0.0f, 0.0f);
    }
#endif
}

extern "C" __global__ void __launch_bounds__(GROUP) ingest(
    const Channel* images,  // [layers, size.y, size.x, CHANNELS]
    int2 size,              // (width, height) of the images
    int2 padded,            // (width, height) of level 0
    int count,              // how many levels above level 0 to write, at most 6
    int first_layer,        // where the first image goes
    const __grid_constant__ Surfaces levels // level 0 first
) {
    int layer = first_layer + (int)blockIdx.z;
    const Channel* image = images + (size_t)blockIdx.z * size.y * size.x * CHANNELS;
    int2 own = morton(threadIdx.x);
    int2 first = make_int2(((int)blockIdx.x * 16 + own.x) * 4, ((int)blockIdx.y * 16 + own.y) * 4);
    float4 square[16];
    for (int row = 0; row < 4; ++row) {
        load_row(image, size, first.x, first.y + row, square + 4 * row);
        for (int column = 0; column < 4; ++column) {
            if (first.x + column < padded.x && first.y + row < padded.y) {
                store(levels.level[0], first.x + column, first.y + row, layer, square[4 * row + column] / UNIT);
            }
        }
    }
    write_levels(square, padded, layer, UNIT, count, levels.level + 1);
}
