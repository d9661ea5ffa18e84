// The law of sampling: how one footprint becomes texture taps. The same law, under the same names, in bridge/law.py and
// bridge/twin/sampler.py. Taps along the major axis, one per minor-axis length: McCormack et al., Feline, SIGGRAPH 1999;
// GL 4.6 core, 8.14. Explicit textureLod, because hardware anisotropy is not defined in compute shaders everywhere.

#define FAST 0
#define SHARP 1
#define HIGH 2
#define EXACT 3

const float MAX_TAPS = 16.0;
const float RATIO_SLACK = 1.0 / 64.0;
const float MIN_ALPHA = 1.0 / 16.0;
const float TINY = 1e-30;

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
    return Footprint(head.xy, head.zw, tail.xy, tail.z, tail.w);
}

float step_count(float ratio) {
    return clamp(ceil(ratio - RATIO_SLACK), 1.0, MAX_TAPS);
}

Taps taps(vec2 right, vec2 down, float max_level) {
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
    return roundEven(lod);
#else
    return lod;
#endif
}

float high_offset(float step_px, float axis_px) {
    float width_px = max(step_px / 2.0, 1.0);
    float excess = max((axis_px * axis_px - 2.0 * width_px * width_px + 1.0) / 12.0, 0.0);
    return sqrt(excess) / max(axis_px, TINY);
}

// What all texels of one footprint share. Vectors in texture coordinates.
struct Filter {
    vec2 first;   // from the texel's centre to its first tap
    vec2 major;   // one step
    vec2 minor;
    vec2 across;  // half the distance between the two taps of a step, quality HIGH
    vec2 along;
    float layer;
    float lod;
    float major_count;
    int tap_count;
};

// `scale` is 1 / padded size.
Filter prepare(Footprint footprint, vec2 scale, float max_level) {
    Taps cut = taps(footprint.right, footprint.down, max_level);
    vec2 major = cut.major / cut.major_count;
    vec2 minor = cut.minor / cut.minor_count;
    return Filter(
        0.5 * (major + minor - cut.major - cut.minor) * scale,
        major * scale,
        minor * scale,
        major * scale * high_offset(cut.step_px, length(major)),
        minor * scale * high_offset(cut.step_px, length(minor)),
        footprint.layer,
        quality_lod(cut.step_px, footprint.lod_bias),
        cut.major_count,
        int(cut.major_count * cut.minor_count)
    );
}

// Premultiplied RGBA of one texel whose centre is at `point` (texture coordinates).
vec4 apply(Filter f, sampler2DArray pyramid, vec2 point) {
    vec4 total = vec4(0.0);
    int tap = 0;
    // Tested at the end: a test at the head makes a CPU rasteriser run one masked tap too many, or unroll all 256.
    while (true) {
        float j = floor((float(tap) + 0.5) / f.major_count);  // integer division is slow where it is emulated
        float i = float(tap) - j * f.major_count;
        vec2 middle = point + f.first + i * f.major + j * f.minor;
#if QUALITY == HIGH
        total += 0.25 * (textureLod(pyramid, vec3(middle - f.across - f.along, f.layer), f.lod)
                       + textureLod(pyramid, vec3(middle + f.across - f.along, f.layer), f.lod)
                       + textureLod(pyramid, vec3(middle - f.across + f.along, f.layer), f.lod)
                       + textureLod(pyramid, vec3(middle + f.across + f.along, f.layer), f.lod));
#else
        total += textureLod(pyramid, vec3(middle, f.layer), f.lod);
#endif
        if (++tap >= f.tap_count) {
            break;
        }
    }
    return total / float(f.tap_count);
}
