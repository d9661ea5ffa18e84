// One trilinear fetch of a pyramid, zero beyond its border. `point` in texture coordinates of level 0.
// defines: PACKED. 0: the texture unit does it. 1: the same by arithmetic, on a view of byte texels as whole words; where the
// "texture unit" is a CPU this takes half the time, because it fetches one word a texel and treats the border by weight.

#if PACKED
layout(binding = 0) uniform usampler2DArray pyramid;
uniform ivec2 padded_px;
uniform float max_level;

vec4 unpack_bytes(uint word) {
    return vec4(word & 255u, (word >> 8) & 255u, (word >> 16) & 255u, word >> 24);
}

vec4 bilinear(vec2 point, int layer, int level) {
    ivec2 size = padded_px >> level;
    vec2 texel = point * vec2(size) - 0.5;
    vec2 corner = floor(texel);
    vec2 fraction = texel - corner;
    ivec2 low = ivec2(corner);
    ivec2 high = low + 1;
    vec2 low_weight = (1.0 - fraction) * vec2(greaterThanEqual(low, ivec2(0))) * vec2(lessThan(low, size));
    vec2 high_weight = fraction * vec2(greaterThanEqual(high, ivec2(0))) * vec2(lessThan(high, size));
    low = clamp(low, ivec2(0), size - 1);
    high = clamp(high, ivec2(0), size - 1);
    return low_weight.y * (low_weight.x * unpack_bytes(texelFetch(pyramid, ivec3(low, layer), level).r)
                         + high_weight.x * unpack_bytes(texelFetch(pyramid, ivec3(high.x, low.y, layer), level).r))
         + high_weight.y * (low_weight.x * unpack_bytes(texelFetch(pyramid, ivec3(low.x, high.y, layer), level).r)
                          + high_weight.x * unpack_bytes(texelFetch(pyramid, ivec3(high, layer), level).r));
}

vec4 trilinear(vec2 point, float layer, float lod) {
    lod = clamp(lod, 0.0, max_level);
    int lower = int(lod);
    int upper = min(lower + 1, int(max_level));
    return mix(bilinear(point, int(layer), lower), bilinear(point, int(layer), upper), lod - float(lower)) / 255.0;
}
#else
layout(binding = 0) uniform sampler2DArray pyramid;
uniform float max_level;

vec4 trilinear(vec2 point, float layer, float lod) {
    return textureLod(pyramid, vec3(point, layer), lod);
}
#endif
