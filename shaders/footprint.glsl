// The law of sampling: how one footprint becomes texture taps. The same law, under the same names, in bridge/law.py and
// bridge/twin/sampler.py. Taps along the major axis, one per minor-axis length: McCormack et al., Feline, SIGGRAPH 1999;
// GL 4.6 core, 8.14. Explicit textureLod, because hardware anisotropy is not defined in compute shaders everywhere.

#define FAST 0
#define SHARP 1
#define HIGH 2
#define EXACT 3

const float MAX_TAPS = 16.0;
const float RATIO_SLACK = 1.0 / 64.0;
const float SHEAR_SLACK = 1.0 / 8.0;
const float MIN_ALPHA = 1.0 / 16.0;
const float ROOT_FLOOR = 1.0 / 64.0;
const float TINY = 1e-30;
const float FARTHEST_PX = 1099511627776.0;  // 2^40: no tap of a footprint out there lies in a picture, and no square overflows

struct Footprint {
    vec2 center;     // level-0 pixels
    vec2 right;      // image pixels of one patch column
    vec2 down;       // image pixels of one patch row
    float layer;
    float lod_bias;
};

struct Taps {
    vec2 major;
    vec2 minor;
    float major_count;
    float minor_count;
    float step_px;
};

Footprint unpack_footprint(vec4 head, vec4 tail) {
    vec4 place = clamp(head, vec4(-FARTHEST_PX), vec4(FARTHEST_PX));
    return Footprint(place.xy, place.zw, clamp(tail.xy, vec2(-FARTHEST_PX), vec2(FARTHEST_PX)), roundEven(tail.z), tail.w);
}

float step_count(float ratio) {
    return clamp(ceil(ratio - RATIO_SLACK), 1.0, MAX_TAPS);
}

// The axes of the texel's ellipse, each in the column of the side that it is nearest to: one Jacobi rotation between the sides.
mat2 singular_axes(vec2 right, vec2 down) {
    float overlap = dot(right, down);
    float shear = abs(overlap) / max(length(right) * length(down), TINY);
    float share = clamp(shear / SHEAR_SLACK - 1.0, 0.0, 1.0);
    if (share == 0.0) {
        return mat2(right, down);
    }
    float total = max(dot(right, right) + dot(down, down), TINY);
    float difference = (dot(right, right) - dot(down, down)) / total;
    float twice = 2.0 * share * overlap / total;
    float tangent = twice / (abs(difference) + sqrt(difference * difference + twice * twice));
    tangent = difference < 0.0 ? -tangent : tangent;
    float cosine = 1.0 / sqrt(1.0 + tangent * tangent);
    float sine = tangent * cosine;
    return mat2(cosine * right + sine * down, cosine * down - sine * right);
}

Taps taps(vec2 right, vec2 down, float max_level) {
    mat2 axes = singular_axes(right, down);
    right = axes[0];
    down = axes[1];
    float right_px = length(right);
    float down_px = length(down);
    bool down_is_major = down_px > right_px;
    float major_px = max(right_px, down_px);
    float minor_px = min(right_px, down_px);
    float coarsest_px = exp2(max_level);
    float major_count = step_count(major_px / clamp(minor_px, TINY, coarsest_px));
    float minor_count = step_count(minor_px / coarsest_px);
    float step_px = max(major_px / major_count, minor_px / minor_count);
    return Taps(down_is_major ? down : right, down_is_major ? right : down, major_count, minor_count, step_px);
}

float quality_lod(float step_px, float lod_bias) {
    float lod = log2(max(step_px, 1.0)) + lod_bias;
#if QUALITY == SHARP
    return lod - 0.5;
#elif QUALITY == HIGH
    return lod - 1.0;
#elif QUALITY == EXACT
    return roundEven(lod) - 2.0;
#else
    return lod;
#endif
}

// Half the distance between the two taps of a step along one axis, as a share of that axis.
float pair_offset(float step_px, float axis_px) {
#if QUALITY == EXACT
    return step_px > 1.0 ? 0.25 : 0.0;
#else
    float width_px = max(step_px / 2.0, 1.0);
    float excess = max((axis_px * axis_px - 2.0 * width_px * width_px + 1.0) / 12.0, 0.0);
    return sqrt(excess) / max(axis_px, TINY);
#endif
}

#ifdef PAGED
#include "pages.glsl"
#endif
#ifdef PLANAR
#include "planes.glsl"
#endif

// What all texels of one footprint share. Vectors in texture coordinates.
struct Filter {
    vec2 first;   // from the texel's centre to its first tap
    vec2 major;   // one step
    vec2 minor;
    vec2 across;  // half the distance between the two taps of a step, qualities HIGH and EXACT
    vec2 along;
    float layer;
    float lod;
    float major_count;
    int tap_count;
#ifdef PAGED
    TileGrid grid;
#endif
#ifdef PLANAR
    PlaneGrid grid;
#endif
};

// `scale` is 1 / padded size.
Filter prepare(Footprint footprint, vec2 scale, float max_level) {
    Taps cut = taps(footprint.right, footprint.down, max_level);
    vec2 major = cut.major / cut.major_count;
    vec2 minor = cut.minor / cut.minor_count;
    float lod = clamp(quality_lod(cut.step_px, footprint.lod_bias), 0.0, max_level);
    return Filter(
        0.5 * (major + minor - cut.major - cut.minor) * scale,
        major * scale,
        minor * scale,
        major * scale * pair_offset(cut.step_px, length(major)),
        minor * scale * pair_offset(cut.step_px, length(minor)),
        footprint.layer,
        lod,
        cut.major_count,
        int(cut.major_count * cut.minor_count)
#ifdef PAGED
        , tile_grid(lod, footprint.center - 0.5 * float(patch_size) * (abs(footprint.right) + abs(footprint.down)))
#endif
#ifdef PLANAR
        , plane_grid(lod, max_level, chroma_spread(quality_lod(cut.step_px, footprint.lod_bias)))
#endif
    );
}

// One tap. PAGED: of a picture in pages, `point` in level-0 pixels from its origin, and counted where it reads the level it asks for.
// PLANAR: of a picture in planes, `pyramid` is its luma; aside: from the middle of the step to `point`.
vec4 fetch(Filter f, sampler2DArray pyramid, vec2 point, vec2 aside, inout float resident) {
#ifdef PAGED
    return page_tap(f.grid, pyramid, point, f.lod, resident);
#elif defined(PLANAR)
    return plane_tap(f.grid, pyramid, point, aside, f.layer, f.lod);
#else
    return textureLod(pyramid, vec3(point, f.layer), f.lod);
#endif
}

// Premultiplied RGBA of one texel whose centre is at `point` (texture coordinates). resident: grows by the share of its taps that read
// the level they ask for.
vec4 apply(Filter f, sampler2DArray pyramid, vec2 point, inout float resident) {
    vec4 total = vec4(0.0);
    float found = 0.0;
    int tap = 0;
    // Tested at the end: a test at the head makes a CPU rasteriser run one masked tap too many, or unroll all 256.
    while (true) {
        float j = floor((float(tap) + 0.5) / f.major_count);  // integer division is slow where it is emulated
        float i = float(tap) - j * f.major_count;
        vec2 middle = point + f.first + i * f.major + j * f.minor;
#if QUALITY == HIGH || QUALITY == EXACT
        total += 0.25 * (fetch(f, pyramid, middle - f.across - f.along, -f.across - f.along, found)
                       + fetch(f, pyramid, middle + f.across - f.along, f.across - f.along, found)
                       + fetch(f, pyramid, middle - f.across + f.along, f.along - f.across, found)
                       + fetch(f, pyramid, middle + f.across + f.along, f.across + f.along, found));
#else
        total += fetch(f, pyramid, middle, vec2(0.0), found);
#endif
        if (++tap >= f.tap_count) {
            break;
        }
    }
#if QUALITY == HIGH || QUALITY == EXACT
    found *= 0.25;
#endif
    resident += found / float(f.tap_count);
    return total / float(f.tap_count);
}
