// One work group a patch: filters every texel of its footprint and writes planes [N, 3, P * P].
// defines: QUALITY (footprint.glsl), ELEMENT (0 float32, 1 float16, 2 bfloat16), WARPED (1: a footprint per texel), GROUP (threads,
// a power of 2), PATCH_SIZE (or none, and it is a uniform), PAGED (or none: `pyramid` then holds all levels, not pages of some),
// NARROW, STAND_INS (pages.glsl), PLANAR (or none: `pyramid` then holds RGBA, not luma; planes.glsl)
#version 430
#include "rounding.glsl"

layout(local_size_x = GROUP) in;

layout(binding = 0) uniform sampler2DArray pyramid;
layout(std430, binding = 0) readonly buffer Plan { vec4 rows[]; };
#define ELEMENTS_PER_WORD (ELEMENT == 0 ? 1 : 2)
layout(std430, binding = 1) writeonly buffer Pixels { uint pixels[]; };  // of two elements in a word the first is the lower half
layout(std430, binding = 2) writeonly buffer Inside { float inside[]; };

#ifdef PAGED
layout(std430, binding = 3) readonly buffer Table { ivec2 table[]; };
layout(std430, binding = 4) writeonly buffer Resident { float resident[]; };
uniform int table_spread;  // a factor that gives each key a place of its own, in the upper bits
uniform int table_shift;
uniform int finest_level;  // nothing finer is read
uniform ivec2 origin;      // that the rows' centres are counted from
uniform ivec2 last_texel;  // of level 0
#endif

#ifdef PLANAR
layout(binding = 1) uniform sampler2DArray chroma;
uniform vec2 picture_px;    // width, height
uniform vec2 padded_px;
uniform vec2 chroma_shift;  // to where chroma is read, texture coordinates
uniform vec2 luma_code;     // black, light of a step
uniform vec4 chroma_code;   // of Cb to blue, to green, of Cr to green, to red
#endif

uniform int first_patch;
uniform int patch_count;
#ifdef PATCH_SIZE
const int patch_size = PATCH_SIZE;  // known to the compiler, so that no division is left
#else
uniform int patch_size;
#endif
uniform vec2 scale;       // 1 / padded size; PAGED: 1
uniform float max_level;
uniform vec3 mean;
uniform vec3 inverse_std;

shared float alphas[GROUP];
#ifdef PAGED
shared float shares[GROUP];
#endif

#include "footprint.glsl"

Footprint footprint(int row) {
    return unpack_footprint(rows[2 * row], rows[2 * row + 1]);
}

// Colour of the part inside the image; fades to the neutral value 0 where hardly any of the texel is inside.
vec3 normalised(vec4 rgba) {
    return (rgba.rgb - rgba.a * mean) * inverse_std / max(rgba.a, MIN_ALPHA);
}

#if ELEMENT == 0
uint pack(float low, float high) { return floatBitsToUint(low); }
#elif ELEMENT == 1
uint pack(float low, float high) { return packHalf2x16(vec2(nearest_half(low), nearest_half(high))); }
#elif ELEMENT == 2
uint pack(float low, float high) { return bfloat16_bits(low) | (bfloat16_bits(high) << 16); }
#endif

#if WARPED
#define TEXEL(index) warped_texel(patch_index * texels + (index), share)
vec4 warped_texel(int row, inout float share) {
    Footprint own = footprint(row);
    return apply(prepare(own, scale, max_level), pyramid, own.center * scale, share);
}
#else
#define TEXEL(index) affine_texel(own, own_filter, index, share)
vec4 affine_texel(Footprint own, Filter own_filter, int index, inout float share) {
    vec2 offset = vec2(index % patch_size, index / patch_size) + 0.5 - 0.5 * float(patch_size);
    return apply(own_filter, pyramid, (own.center + offset.x * own.right + offset.y * own.down) * scale, share);
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
    float share = 0.0;
    for (int word = int(gl_LocalInvocationIndex); word < words; word += GROUP) {
        vec4 low = TEXEL(ELEMENTS_PER_WORD * word);
        vec4 high = vec4(0.0);
#if ELEMENT != 0
        if (2 * word + 1 < texels) {
            high = TEXEL(2 * word + 1);
        }
#endif
        vec3 low_colour = normalised(low);
        vec3 high_colour = normalised(high);
        pixels[base + word] = pack(low_colour.r, high_colour.r);
        pixels[base + words + word] = pack(low_colour.g, high_colour.g);
        pixels[base + 2 * words + word] = pack(low_colour.b, high_colour.b);
        alpha += low.a + high.a;
    }
    uint thread = gl_LocalInvocationIndex;
    alphas[thread] = alpha;
#ifdef PAGED
    shares[thread] = share;
#endif
    for (uint rest = uint(GROUP) / 2u; rest > 0u; rest /= 2u) {
        barrier();
        if (thread < rest) {
            alphas[thread] += alphas[thread + rest];
#ifdef PAGED
            shares[thread] += shares[thread + rest];
#endif
        }
    }
    if (thread == 0u) {
        inside[patch_index - first_patch] = alphas[0] / float(texels);
#ifdef PAGED
        resident[patch_index - first_patch] = shares[0] / float(texels);
#endif
    }
}
