// What goes back through sample.comp, one work group a patch: the gradient of its planes becomes that of the footprints, which a group
// adds up by itself, and that of the pyramid's levels, to which all groups add.
// Of a texel's colour and alpha only two numbers matter: `tone`, its colour times the gradient of the pixel, and alpha. Each tap
// gives both and how both move, so that what the division by alpha does is put in once a texel, when all its taps are read.
// defines: QUALITY, WARPED, GROUP, PATCH_SIZE (sample.comp); FOOTPRINTS, TEXELS (1: its gradient is wanted); ATOMICS (0: the driver adds
// no floats in one step)
#version 430
#if TEXELS && ATOMICS
#extension GL_NV_shader_atomic_float : require
#endif

layout(local_size_x = GROUP) in;

layout(binding = 0) uniform sampler2DArray pyramid;
layout(std430, binding = 0) readonly buffer Plan { vec4 rows[]; };
layout(std430, binding = 1) readonly buffer Pixels { float pixels[]; };  // gradients of what sample.comp writes in float32
layout(std430, binding = 2) readonly buffer Inside { float inside[]; };
layout(std430, binding = 5) writeonly buffer RowGradients { vec4 row_gradients[]; };
#if ATOMICS
layout(std430, binding = 6) buffer TexelGradients { float texel_gradients[]; };  // [level][layer][y][x][3]
#else
layout(std430, binding = 6) buffer TexelBits { uint texel_bits[]; };
#endif

uniform int first_patch;
uniform int patch_count;
#ifdef PATCH_SIZE
const int patch_size = PATCH_SIZE;
#else
uniform int patch_size;
#endif
uniform float max_level;
uniform vec3 mean;
uniform vec3 inverse_std;

#include "footprint.glsl"
#include "footprint_adjoint.glsl"

#define NUMBERS 4  // vec4 that Moments fill
shared vec4 sums[NUMBERS * GROUP];

// A level as taps see it.
struct Level {
    int number;
    vec2 size;
    vec2 last;      // texel
    float scale;    // texels a pixel
    float weight;
};

Level level_of(float number, float weight) {
    vec2 size = vec2(textureSize(pyramid, 0).xy >> int(number));
    return Level(int(number), size, size - 1.0, exp2(-number), weight);
}

// What all texels of one footprint share.
struct Route {
    Taps cut;
    float across;
    float along;
    Level finer;    // of the two that a tap reads
    Level coarser;
    int levels;     // how many matter
    int layer;
};

Route route(Footprint own) {
    Taps cut = taps(own.right, own.down, max_level);
    float lod = quality_lod(cut.step_px, own.lod_bias);
    float lower = floor(clamp(lod, 0.0, max_level));
    float blend = clamp(lod, 0.0, max_level) - lower;
#if QUALITY == EXACT || !FOOTPRINTS
    bool both = blend > 0.0;
#else
    bool both = lod >= 0.0 && lower < max_level;  // where the blend is 0 the bias moves it
#endif
    int layer = int(clamp(own.layer, 0.0, float(textureSize(pyramid, 0).z - 1)));
    return Route(
        cut,
        pair_offset(cut.step_px, length(cut.major) / cut.major_count),
        pair_offset(cut.step_px, length(cut.minor) / cut.minor_count),
        level_of(lower, 1.0 - blend),
        level_of(min(lower + 1.0, max_level), blend),
        both ? 2 : 1,
        layer
    );
}

#if QUALITY == HIGH || QUALITY == EXACT
#define PAIRS 4
#else
#define PAIRS 1
#endif

// Where a tap stands: shares of the axes, and which of the pair it is along each.
struct Place {
    float u;
    float v;
    float left_or_right;
    float above_or_below;
};

Place place_of(Route way, int tap) {
#if PAIRS == 4
    float left_or_right = float(tap & 1) * 2.0 - 1.0;
    float above_or_below = float(tap & 2) - 1.0;
    float number = float(tap >> 2);
#else
    float left_or_right = 0.0;
    float above_or_below = 0.0;
    float number = float(tap);
#endif
    float j = floor((number + 0.5) / way.cut.major_count);
    float i = number - j * way.cut.major_count;
    return Place(
        (i + 0.5 + left_or_right * way.across) / way.cut.major_count - 0.5,
        (j + 0.5 + above_or_below * way.along) / way.cut.minor_count - 0.5,
        left_or_right / way.cut.major_count,
        above_or_below / way.cut.minor_count
    );
}

int tap_count(Route way) {
    return PAIRS * int(way.cut.major_count * way.cut.minor_count);
}

Level nth_level(Route way, int which) {
    if (which == 0) {
        return way.finer;
    }
    return way.coarser;
}

// The four texels around a point of a level, whose weights are products; a texel beyond the level weighs nothing.
struct Corners {
    vec2 near;       // the first texel
    vec2 far;        // the last one
    vec2 of_near;    // weights
    vec2 of_far;
    vec2 near_there; // 1 where there is such a texel
    vec2 far_there;
};

Corners corners(Level level, vec2 point) {
    vec2 corner = vec2(floor(point.x), floor(point.y));
    vec2 part = point - corner;
    vec2 near = clamp(corner, vec2(0.0), level.last);
    vec2 far = clamp(corner + 1.0, vec2(0.0), level.last);
    vec2 near_there = vec2(near.x == corner.x ? 1.0 : 0.0, near.y == corner.y ? 1.0 : 0.0);
    vec2 far_there = vec2(far.x == corner.x + 1.0 ? 1.0 : 0.0, far.y == corner.y + 1.0 ? 1.0 : 0.0);
    return Corners(near, far, (1.0 - part) * near_there, part * far_there, near_there, far_there);
}

// Tone and alpha of a texel.
vec2 tones(Route way, Level level, vec2 texel, vec3 colour) {
    vec4 rgba = texelFetch(pyramid, ivec3(ivec2(texel), way.layer), level.number);
    return vec2(dot(rgba.rgb, colour), rgba.a);
}

// Sums over the taps of one texel, each of tone and alpha.
struct Slopes {
    vec2 value;
    vec2 dx;
    vec2 dy;
    vec2 u_dx;
    vec2 u_dy;
    vec2 v_dx;
    vec2 v_dy;
    vec2 across;
    vec2 along;
    vec2 lod;
};

Slopes slopes(Route way, vec2 center, vec3 colour) {
    vec2 none = vec2(0.0);
    Slopes sum = Slopes(none, none, none, none, none, none, none, none, none, none);
    int count = tap_count(way);
    int which = 0;
    // Tested at the end, as in footprint.glsl.
    while (true) {
        Level level = nth_level(way, which);
        float sign = which == 0 ? -1.0 : 1.0;
        vec2 start = center * level.scale - 0.5;
        vec2 major = way.cut.major * level.scale;
        vec2 minor = way.cut.minor * level.scale;
        int tap = 0;
        while (true) {
            Place place = place_of(way, tap);
            Corners four = corners(level, start + place.u * major + place.v * minor);
            vec2 a = tones(way, level, four.near, colour);
            vec2 b = tones(way, level, vec2(four.far.x, four.near.y), colour);
            vec2 c = tones(way, level, vec2(four.near.x, four.far.y), colour);
            vec2 d = tones(way, level, four.far, colour);
            vec2 upper = four.of_near.x * a + four.of_far.x * b;
            vec2 below = four.of_near.x * c + four.of_far.x * d;
            vec2 value = four.of_near.y * upper + four.of_far.y * below;
            vec2 dx = four.far_there.x * (four.of_near.y * b + four.of_far.y * d)
                   - four.near_there.x * (four.of_near.y * a + four.of_far.y * c);
            vec2 dy = four.far_there.y * below - four.near_there.y * upper;
            sum.lod += sign * value;
            sum.value += level.weight * value;
            dx *= level.weight * level.scale;
            dy *= level.weight * level.scale;
            sum.dx += dx;
            sum.dy += dy;
            sum.u_dx += place.u * dx;
            sum.u_dy += place.u * dy;
            sum.v_dx += place.v * dx;
            sum.v_dy += place.v * dy;
#if PAIRS == 4
            sum.across += place.left_or_right * (way.cut.major.x * dx + way.cut.major.y * dy);
            sum.along += place.above_or_below * (way.cut.minor.x * dx + way.cut.minor.y * dy);
#endif
            if (++tap >= count) {
                break;
            }
        }
        if (++which >= way.levels) {
            break;
        }
    }
    return sum;
}

// What the gradient of a texel's pixels and of its share of `inside` is of its tone and alpha, once those are known.
vec2 weights(vec2 value, vec3 colour, float inside_gradient) {
    float toned = dot(colour, mean);
    float least = max(value.y, MIN_ALPHA);
    float of_alpha = inside_gradient - toned / least;
    of_alpha -= value.y < MIN_ALPHA ? 0.0 : (value.x - value.y * toned) / (least * least);
    return vec2(1.0 / least, of_alpha);
}

Moments moments(Slopes sum, vec2 weight, vec2 offset) {
    vec2 center = vec2(dot(sum.dx, weight), dot(sum.dy, weight));
    return Moments(
        center,
        offset.x * center,
        offset.y * center,
        vec2(dot(sum.u_dx, weight), dot(sum.u_dy, weight)),
        vec2(dot(sum.v_dx, weight), dot(sum.v_dy, weight)),
        dot(sum.across, weight),
        dot(sum.along, weight),
        dot(sum.lod, weight)
    );
}

Moments none() {
    vec2 zero = vec2(0.0);
    return Moments(zero, zero, zero, zero, zero, 0.0, 0.0, 0.0);
}

Moments plus(Moments a, Moments b) {
    return Moments(
        a.center + b.center, a.right + b.right, a.down + b.down, a.major + b.major, a.minor + b.minor,
        a.across + b.across, a.along + b.along, a.lod + b.lod
    );
}

// row: counted from that of `first_patch`, as the patches are.
void write_row(int row, vec4 head, vec4 tail, Footprint own, Route way, Moments sum) {
    RowGradient gradient = unpack_footprint_adjoint(head, tail, prepare_adjoint(own, way.cut, sum, max_level));
    row_gradients[2 * row] = gradient.head;
    row_gradients[2 * row + 1] = gradient.tail;
}

#if TEXELS
void add(int place, float value) {
#if ATOMICS
    atomicAdd(texel_gradients[place], value);
#else
    uint expected = texel_bits[place];
    while (true) {
        uint found = atomicCompSwap(texel_bits[place], expected, floatBitsToUint(uintBitsToFloat(expected) + value));
        bool done = found == expected;
        expected = found;
        if (done) {
            break;
        }
    }
#endif
}

void add_texel(int row, float column, float weight, vec3 rgb) {
    if (weight != 0.0) {
        int place = 3 * (row + int(column));
        add(place, weight * rgb.r);
        add(place + 1, weight * rgb.g);
        add(place + 2, weight * rgb.b);
    }
}

// Adds what each tap of a texel gives to the four texels that it reads.
void scatter(Route way, vec2 center, vec3 rgb) {
    ivec3 size = textureSize(pyramid, 0);
    int area = 4 * size.x * size.y;
    int count = tap_count(way);
    int levels = way.coarser.weight > 0.0 ? 2 : 1;
    int which = 0;
    while (true) {
        Level level = nth_level(way, which);
        int first = size.z * ((area - (area >> (2 * level.number))) / 3) + way.layer * (area >> (2 * level.number)) / 4;
        int width = int(level.size.x);
        vec2 start = center * level.scale - 0.5;
        int tap = 0;
        while (true) {
            Place place = place_of(way, tap);
            Corners four = corners(level, start + level.scale * (place.u * way.cut.major + place.v * way.cut.minor));
            vec3 value = level.weight * rgb;
            int near = first + int(four.near.y) * width;
            int far = first + int(four.far.y) * width;
            add_texel(near, four.near.x, four.of_near.x * four.of_near.y, value);
            add_texel(near, four.far.x, four.of_far.x * four.of_near.y, value);
            add_texel(far, four.near.x, four.of_near.x * four.of_far.y, value);
            add_texel(far, four.far.x, four.of_far.x * four.of_far.y, value);
            if (++tap >= count) {
                break;
            }
        }
        if (++which >= levels) {
            break;
        }
    }
}
#endif

void main() {
    int patch_index = first_patch + int(gl_WorkGroupID.x + gl_WorkGroupID.y * gl_NumWorkGroups.x);
    if (patch_index >= first_patch + patch_count) {
        return;
    }
    int texels = patch_size * patch_size;
    int base = (patch_index - first_patch) * 3 * texels;
    int thread = int(gl_LocalInvocationIndex);
    float inside_gradient = inside[patch_index - first_patch] / float(texels);
#if !WARPED
    vec4 head = rows[2 * patch_index];
    vec4 tail = rows[2 * patch_index + 1];
    Footprint own = unpack_footprint(head, tail);
    Route way = route(own);
    Moments total = none();
#endif
    for (int index = thread; index < texels; index += GROUP) {
        vec3 colour = vec3(pixels[base + index], pixels[base + texels + index], pixels[base + 2 * texels + index]) * inverse_std;
#if WARPED
        int row = patch_index * texels + index;
        vec4 head = rows[2 * row];
        vec4 tail = rows[2 * row + 1];
        Footprint own = unpack_footprint(head, tail);
        Route way = route(own);
        vec2 offset = vec2(0.0);
#else
        vec2 offset = vec2(index % patch_size, index / patch_size) + 0.5 - 0.5 * float(patch_size);
#endif
        vec2 center = own.center + offset.x * own.right + offset.y * own.down;
        Slopes slope = slopes(way, center, colour);
        float share = 1.0 / float(tap_count(way));
        vec2 weight = share * weights(share * slope.value, colour, inside_gradient);
#if TEXELS
        scatter(way, center, weight.x * colour);
#endif
#if FOOTPRINTS && WARPED
        write_row(row - first_patch * texels, head, tail, own, way, moments(slope, weight, offset));
#elif FOOTPRINTS
        total = plus(total, moments(slope, weight, offset));
#endif
    }
#if FOOTPRINTS && !WARPED
    sums[thread] = vec4(total.center, total.right);
    sums[GROUP + thread] = vec4(total.down, total.major);
    sums[2 * GROUP + thread] = vec4(total.minor, total.across, total.along);
    sums[3 * GROUP + thread] = vec4(total.lod);
    for (int rest = GROUP / 2; rest > 0; rest /= 2) {
        barrier();
        if (thread < rest) {
            for (int k = thread; k < NUMBERS * GROUP; k += GROUP) {
                sums[k] += sums[k + rest];
            }
        }
    }
    if (thread == 0) {
        vec4 second = sums[GROUP];
        vec4 third = sums[2 * GROUP];
        total = Moments(
            sums[0].xy, sums[0].zw, second.xy, second.zw, third.xy, third.z, third.w, sums[3 * GROUP].x
        );
        write_row(patch_index - first_patch, head, tail, own, way, total);
    }
#endif
}
