// The statistics of one level of an image's pyramid: a block measures a tile of texels, one a thread, and writes four layers an image,
// premultiplied: opponent colours, their squares, oriented energy, ON and OFF contrast with the surround. The same as
// shaders/statistics.comp; the twin is bridge/twin/statistics.py. Derivatives are separable: along rows first, then along columns.
// defines: TILE_WIDTH, TILE_HEIGHT, STORED (levels.cuh; how the image's levels are stored), RADIUS, TAPS (RADIUS + 1 of {Gaussian and
// its three derivatives}), STEERING (4 rows of weights for the derivatives yyy, xyy, xxy, xxx)
#include "cuda/levels.cuh"

#define SIDE_X (TILE_WIDTH + 2 * RADIUS)
#define SIDE_Y (TILE_HEIGHT + 2 * RADIUS)
#define UNIT (STORED == 8 ? 255.0f : 1.0f)
#define TINY 1e-30f

__device__ const float taps[RADIUS + 1][4] = TAPS;
__device__ const float steering[4][4] = STEERING;

__device__ inline float3 opponent(float4 texel) {
    float alpha = fmaxf(texel.w, TINY);
    float r = texel.x / alpha, g = texel.y / alpha, b = texel.z / alpha;
    return make_float3((r + g + b) / 3.0f - 0.5f, r - g, b - 0.5f * (r + g));
}

__device__ inline float clamped(float value, float low, float high) {
    return fminf(fmaxf(value, low), high);
}

// Between texel centres only: beyond the outermost one its own colour goes on.
__device__ inline float surround_intensity(cudaTextureObject_t pyramid, int2 place, int2 size, int2 coarse, int image, float surround) {
    float2 half_texel = make_float2(0.5f / (float)coarse.x, 0.5f / (float)coarse.y);
    float x = ((float)place.x + 0.5f) / (float)size.x;
    float y = ((float)place.y + 0.5f) / (float)size.y;
    x = clamped(x, half_texel.x, 1.0f - half_texel.x);
    y = clamped(y, half_texel.y, 1.0f - half_texel.y);
    return opponent(tex2DLayeredLod<float4>(pyramid, x, y, image, surround)).x;
}

__device__ inline void write(cudaSurfaceObject_t statistics, int2 place, int layer, float a, float b, float c, float alpha) {
    surf2DLayeredwrite(make_float4(a * alpha, b * alpha, c * alpha, alpha), statistics, place.x * 16, place.y, layer);
}

extern "C" __global__ void __launch_bounds__(TILE_WIDTH * TILE_HEIGHT) statistics(
    cudaTextureObject_t pyramid,
    cudaSurfaceObject_t level,       // the level that is measured
    cudaSurfaceObject_t statistics,  // float32, level 0
    int2 inside,                     // (width, height) of the part of the level that the image reaches
    int2 size,                       // (width, height) of the level, and of the statistics
    int2 coarse,                     // (width, height) of the level that is the surround
    float surround                   // which level that is
) {
    __shared__ float intensity[SIDE_Y][SIDE_X];
    __shared__ float4 along_rows[SIDE_Y][TILE_WIDTH];
    int2 id = make_int2((int)threadIdx.x, (int)threadIdx.y);
    int2 corner = make_int2((int)blockIdx.x * TILE_WIDTH, (int)blockIdx.y * TILE_HEIGHT);
    int image = (int)blockIdx.z;

    for (int y = id.y; y < SIDE_Y; y += TILE_HEIGHT) {
        for (int x = id.x; x < SIDE_X; x += TILE_WIDTH) {
            int column = min(max(corner.x + x - RADIUS, 0), inside.x - 1);
            int row = min(max(corner.y + y - RADIUS, 0), inside.y - 1);
            intensity[y][x] = opponent(load(level, column, row, image) / UNIT).x;
        }
    }
    __syncthreads();
    for (int y = id.y; y < SIDE_Y; y += TILE_HEIGHT) {
        float middle = intensity[y][id.x + RADIUS];
        float4 sum = make_float4(middle * taps[0][0], middle * taps[0][1], middle * taps[0][2], middle * taps[0][3]);
        for (int k = 1; k <= RADIUS; ++k) {
            float before = intensity[y][id.x + RADIUS - k];
            float after = intensity[y][id.x + RADIUS + k];
            float even = before + after, odd = before - after;
            sum = sum + make_float4(even * taps[k][0], odd * taps[k][1], even * taps[k][2], odd * taps[k][3]);
        }
        along_rows[y][id.x] = sum;
    }
    __syncthreads();
    float4 centre = along_rows[id.y + RADIUS][id.x];
    float third[4] = {centre.x * taps[0][3], centre.y * taps[0][2], centre.z * taps[0][1], centre.w * taps[0][0]};
    for (int k = 1; k <= RADIUS; ++k) {
        float4 before = along_rows[id.y + RADIUS - k][id.x];
        float4 after = along_rows[id.y + RADIUS + k][id.x];
        third[0] += (before.x - after.x) * taps[k][3];
        third[1] += (before.y + after.y) * taps[k][2];
        third[2] += (before.z - after.z) * taps[k][1];
        third[3] += (before.w + after.w) * taps[k][0];
    }
    float energy[4];
    for (int direction = 0; direction < 4; ++direction) {
        float response = 0.0f;
        for (int derivative = 0; derivative < 4; ++derivative) {
            response += steering[direction][derivative] * third[derivative];
        }
        energy[direction] = response * response;
    }

    int2 place = make_int2(corner.x + id.x, corner.y + id.y);
    if (place.x >= size.x || place.y >= size.y) {
        return;
    }
    float4 texel = load(level, place.x, place.y, image) / UNIT;
    float3 color = opponent(texel);
    float contrast = color.x - surround_intensity(pyramid, place, size, coarse, image, surround);
    float alpha = texel.w;
    write(statistics, place, 4 * image, color.x, color.y, color.z, alpha);
    write(statistics, place, 4 * image + 1, color.x * color.x, color.y * color.y, color.z * color.z, alpha);
    write(statistics, place, 4 * image + 2, energy[0], energy[1], energy[2], alpha);
    write(statistics, place, 4 * image + 3, energy[3], fmaxf(contrast, 0.0f), fmaxf(-contrast, 0.0f), alpha);
}
