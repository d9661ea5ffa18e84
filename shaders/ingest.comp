// Level 0 from images [layers, rows, columns, 3] that lie in a buffer, tightly packed: RGB with alpha 1 inside, zeros in the padding.
// One thread a texel. defines: FORMAT (image format), BYTES (1: images are uint8, 0: float32), STORED (8, 16 or 32 bits a channel),
// PLANE (or none: images are [layers, rows, columns, PLANE] of bytes, 1 or 2, with BEYOND in the padding)
#version 430
#include "rounding.glsl"

layout(local_size_x = 32, local_size_y = 8) in;

#if BYTES
layout(std430, binding = 0) readonly buffer Images { uint words[]; };
#else
layout(std430, binding = 0) readonly buffer Images { float values[]; };
#endif
layout(FORMAT, binding = 0) writeonly uniform image2DArray level_0;

uniform int first_layer;
uniform int first_row;  // of the texture; the buffer begins with it
uniform int last_row;   // one past
uniform ivec2 size;     // (width, height) of the images
uniform int rows;       // rows of one image in the buffer

float channel(uint index) {
#if BYTES
    return float(words[index >> 2] >> 8u * (index & 3u) & 255u) / 255.0;
#else
    return values[index];
#endif
}

void main() {
    ivec2 texel = ivec2(gl_GlobalInvocationID.xy) + ivec2(0, first_row);
    ivec2 limit = imageSize(level_0).xy;
    if (texel.x >= limit.x || texel.y >= min(last_row, limit.y)) {
        return;
    }
#ifdef PLANE
    vec4 rgba = vec4(float(BEYOND) / 255.0);
#else
    vec4 rgba = vec4(0.0);
#endif
    if (all(lessThan(texel, size))) {
        uint layer_start = gl_GlobalInvocationID.z * uint(rows) * uint(size.x);
        uint pixel = layer_start + uint(texel.y - first_row) * uint(size.x) + uint(texel.x);
#ifdef PLANE
        rgba = vec4(channel(uint(PLANE) * pixel), channel(uint(PLANE) * pixel + uint(PLANE) - 1u), 0.0, 0.0);
#else
        uint first = 3u * pixel;
        rgba = vec4(channel(first), channel(first + 1u), channel(first + 2u), 1.0);
#if STORED == 16
        rgba.rgb = vec3(nearest_half(rgba.r), nearest_half(rgba.g), nearest_half(rgba.b));
#endif
#endif
    }
    imageStore(level_0, ivec3(texel, first_layer + int(gl_GlobalInvocationID.z)), rgba);
}
