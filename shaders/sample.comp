// One work group a patch: filters every texel of its footprint and writes planes [N, 3, P * P].
// defines: QUALITY (footprint.glsl), ELEMENT (0 float32, 1 float16, 2 bfloat16), WARPED (1: a footprint per texel), GROUP (threads), PATCH_SIZE
#version 430
#include "footprint.glsl"
#include "rounding.glsl"

layout(local_size_x = GROUP) in;

layout(binding = 0) uniform sampler2DArray pyramid;
layout(std430, binding = 0) readonly buffer Plan { vec4 rows[]; };
#if ELEMENT == 0
layout(std430, binding = 1) writeonly buffer Pixels { float pixels[]; };
#define ELEMENTS_PER_WORD 1
#else
layout(std430, binding = 1) writeonly buffer Pixels { uint pixels[]; };
#define ELEMENTS_PER_WORD 2
#endif
layout(std430, binding = 2) writeonly buffer Inside { float inside[]; };

uniform int first_patch;
uniform int patch_count;
const int patch_size = PATCH_SIZE;  // known to the compiler, so that no division is left
uniform vec2 scale;       // 1 / padded size
uniform float max_level;
uniform vec3 mean;
uniform vec3 inverse_std;

shared float alphas[GROUP];

Footprint footprint(int row) {
    return unpack_footprint(rows[2 * row], rows[2 * row + 1]);
}

// Colour of the part inside the image; fades to the neutral value 0 where hardly any of the texel is inside.
vec3 normalised(vec4 rgba) {
    return (rgba.rgb - rgba.a * mean) * inverse_std / max(rgba.a, MIN_ALPHA);
}

#if ELEMENT == 1
uint pack(float low, float high) { return packHalf2x16(vec2(nearest_half(low), nearest_half(high))); }
#elif ELEMENT == 2
uint pack(float low, float high) { return bfloat16_bits(low) | (bfloat16_bits(high) << 16); }
#endif

#if WARPED
#define TEXEL(index) warped_texel(patch_index * texels + (index))
vec4 warped_texel(int row) {
    Footprint own = footprint(row);
    return apply(prepare(own, scale, max_level), pyramid, own.center * scale);
}
#else
#define TEXEL(index) affine_texel(own, own_filter, index)
vec4 affine_texel(Footprint own, Filter own_filter, int index) {
    vec2 offset = vec2(index % patch_size, index / patch_size) + 0.5 - 0.5 * float(patch_size);
    return apply(own_filter, pyramid, (own.center + offset.x * own.right + offset.y * own.down) * scale);
}
#endif

void main() {
    int patch_index = first_patch + int(gl_WorkGroupID.x + gl_WorkGroupID.y * gl_NumWorkGroups.x);
    if (patch_index >= first_patch + patch_count) {
        return;
    }
    int texels = patch_size * patch_size;
    int words = (texels + ELEMENTS_PER_WORD - 1) / ELEMENTS_PER_WORD;
    int base = (patch_index - first_patch) * 3 * words;
#if !WARPED
    Footprint own = footprint(patch_index);
    Filter own_filter = prepare(own, scale, max_level);
#endif
    float alpha = 0.0;
    for (int word = int(gl_LocalInvocationIndex); word < words; word += GROUP) {
#if ELEMENT == 0
        vec4 rgba = TEXEL(word);
        vec3 colour = normalised(rgba);
        pixels[base + word] = colour.r;
        pixels[base + words + word] = colour.g;
        pixels[base + 2 * words + word] = colour.b;
        alpha += rgba.a;
#else
        vec4 low = TEXEL(2 * word);
        vec4 high = 2 * word + 1 < texels ? TEXEL(2 * word + 1) : vec4(0.0);
        vec3 low_colour = normalised(low);
        vec3 high_colour = normalised(high);
        pixels[base + word] = pack(low_colour.r, high_colour.r);
        pixels[base + words + word] = pack(low_colour.g, high_colour.g);
        pixels[base + 2 * words + word] = pack(low_colour.b, high_colour.b);
        alpha += low.a + high.a;
#endif
    }
    alphas[gl_LocalInvocationIndex] = alpha;
    barrier();
    if (gl_LocalInvocationIndex == 0u) {
        float total = 0.0;
        for (int i = 0; i < GROUP; ++i) {
            total += alphas[i];
        }
        inside[patch_index - first_patch] = total / float(texels);
    }
}
