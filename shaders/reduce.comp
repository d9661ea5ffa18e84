// Up to six pyramid levels in one dispatch: a work group of 256 threads reduces a 64 x 64 tile of level `base` to one texel,
// each level the exact mean of its block of `base`, whatever the format stores in between.
// Thread ids run in Morton order, so that four neighbours in id are a 2 x 2 quad on every level.
// defines: FORMAT (image format), STORED (8, 16 or 32 bits a channel), LEVELS (1..6)
#version 430
#include "rounding.glsl"

layout(local_size_x = 256) in;

layout(binding = 0) uniform sampler2DArray pyramid;
layout(FORMAT, binding = 0) writeonly uniform image2DArray level_1;
layout(FORMAT, binding = 1) writeonly uniform image2DArray level_2;
layout(FORMAT, binding = 2) writeonly uniform image2DArray level_3;
layout(FORMAT, binding = 3) writeonly uniform image2DArray level_4;
layout(FORMAT, binding = 4) writeonly uniform image2DArray level_5;
layout(FORMAT, binding = 5) writeonly uniform image2DArray level_6;

uniform int base;
uniform int first_layer;

shared vec4 sums[256];

ivec2 morton(uint id) {
    uint x = id & 0x55u;
    uint y = (id >> 1) & 0x55u;
    x = (x | (x >> 1)) & 0x33u;
    y = (y | (y >> 1)) & 0x33u;
    x = (x | (x >> 2)) & 0x0fu;
    y = (y | (y >> 2)) & 0x0fu;
    return ivec2(x, y);
}

// Bytes are summed as whole numbers, which float32 holds exactly, and every format is rounded to nearest, ties to even.
vec4 stored(vec4 sum, float count) {
    vec4 mean = sum / count;
#if STORED == 8
    return roundEven(mean) / 255.0;
#elif STORED == 16
    return vec4(nearest_half(mean.r), nearest_half(mean.g), nearest_half(mean.b), nearest_half(mean.a));
#else
    return mean;
#endif
}

vec4 load(ivec3 texel) {
    vec4 value = texelFetch(pyramid, texel, base);
#if STORED == 8
    return round(value * 255.0);
#else
    return value;
#endif
}

vec4 quad(uint first, uint stride) {
    return (sums[first] + sums[first + stride]) + (sums[first + 2u * stride] + sums[first + 3u * stride]);
}

void main() {
    uint id = gl_LocalInvocationIndex;
    int layer = first_layer + int(gl_WorkGroupID.z);
    ivec2 tile = ivec2(gl_WorkGroupID.xy);
    ivec2 cell = tile * 16 + morton(id);
    ivec2 limit = textureSize(pyramid, base).xy;

    vec4 sum = vec4(0.0);
    for (int i = 0; i < 4; ++i) {
        ivec2 corner = ivec2(i & 1, i >> 1);
        ivec2 texel = cell * 4 + corner * 2;
        vec4 pair = (load(ivec3(texel, layer)) + load(ivec3(texel + ivec2(1, 0), layer)))
                  + (load(ivec3(texel + ivec2(0, 1), layer)) + load(ivec3(texel + ivec2(1, 1), layer)));
        if (all(lessThan(texel, limit))) {
            imageStore(level_1, ivec3(cell * 2 + corner, layer), stored(pair, 4.0));
        }
        sum += pair;
    }
#if LEVELS > 1
    if (all(lessThan(cell * 4, limit))) {
        imageStore(level_2, ivec3(cell, layer), stored(sum, 16.0));
    }
    sums[id] = sum;
    barrier();
#endif
#if LEVELS > 2
    if (id < 64u && all(lessThan(tile * 8 + morton(id), max(limit >> 3, 1)))) {
        sum = quad(id * 4u, 1u);
        imageStore(level_3, ivec3(tile * 8 + morton(id), layer), stored(sum, 64.0));
        sums[id * 4u] = sum;
    }
    barrier();
#endif
#if LEVELS > 3
    if (id < 16u && all(lessThan(tile * 4 + morton(id), max(limit >> 4, 1)))) {
        sum = quad(id * 16u, 4u);
        imageStore(level_4, ivec3(tile * 4 + morton(id), layer), stored(sum, 256.0));
        sums[id * 16u] = sum;
    }
    barrier();
#endif
#if LEVELS > 4
    if (id < 4u && all(lessThan(tile * 2 + morton(id), max(limit >> 5, 1)))) {
        sum = quad(id * 64u, 16u);
        imageStore(level_5, ivec3(tile * 2 + morton(id), layer), stored(sum, 1024.0));
        sums[id * 64u] = sum;
    }
    barrier();
#endif
#if LEVELS > 5
    if (id == 0u) {
        imageStore(level_6, ivec3(tile, layer), stored(quad(0u, 64u), 4096.0));
    }
#endif
}
