// What goes back through the law of sampling: the gradient of what one footprint's taps have read becomes that of its row. Under the
// names of footprint.glsl, each function the adjoint of that one; the kinks are those that bridge/law.py agrees on.

const float LN_2 = 0.69314718;
const float TIE = 1e-6;  // sides that differ by no more are of one length: a device may round two equal sums of squares apart

// Sums over the taps of a footprint, of the slope at a tap times how far the tap moves with each of these.
struct Moments {
    vec2 center;
    vec2 right;       // as they place the texels
    vec2 down;
    vec2 major;       // as they place the steps
    vec2 minor;
    float across;     // `pair_offset` of the two axes
    float along;
    float lod;
};

struct Sides {
    vec2 right;
    vec2 down;
};

// Of `first` what it takes of the gradient of max(first, second).
float greater(float first, float second) {
    float slack = TIE * max(first, second);
    return first > second + slack ? 1.0 : (second > first + slack ? 0.0 : 0.5);
}

vec2 length_adjoint(vec2 vector, float gradient) {
    return gradient / max(length(vector), TINY) * vector;
}

// gradient: of the axes.
Sides singular_axes_adjoint(vec2 right, vec2 down, Sides gradient) {
    float overlap = dot(right, down);
    float right_px = length(right);
    float down_px = length(down);
    float area = max(right_px * down_px, TINY);
    float shear = abs(overlap) / area;
    float share = clamp(shear / SHEAR_SLACK - 1.0, 0.0, 1.0);
    float total = max(dot(right, right) + dot(down, down), TINY);
    float difference = share == 0.0 ? 1.0 : (dot(right, right) - dot(down, down)) / total;
    float twice = 2.0 * share * overlap / total;
    float radius = sqrt(difference * difference + twice * twice);
    float tangent = twice / (abs(difference) + radius);
    tangent = difference < 0.0 ? -tangent : tangent;
    float cosine = 1.0 / sqrt(1.0 + tangent * tangent);
    float sine = tangent * cosine;

    float of_cosine = dot(gradient.right, right) + dot(gradient.down, down);
    float of_sine = dot(gradient.right, down) - dot(gradient.down, right);
    float of_tangent = share == 0.0 ? 0.0 : (of_sine - tangent * of_cosine) * cosine * cosine * cosine;
    float steep = of_tangent / max(radius * (abs(difference) + radius), TINY);
    float of_twice = difference * steep;  // the sign of `difference` is that of the tangent
    float of_difference = -twice * steep;
    float of_shear = share < 1.0 ? of_twice * 2.0 * overlap / (total * SHEAR_SLACK) : 0.0;
    float of_overlap = of_twice * 2.0 * share / total + of_shear * (overlap < 0.0 ? -1.0 : 1.0) / area;
    float of_squares = of_difference / total;  // `total` itself moves nothing: a turn does not depend on size
    return Sides(
        cosine * gradient.right - sine * gradient.down + of_overlap * down + 2.0 * of_squares * right
            + length_adjoint(right, -of_shear * shear / max(right_px, TINY)),
        sine * gradient.right + cosine * gradient.down + of_overlap * right - 2.0 * of_squares * down
            + length_adjoint(down, -of_shear * shear / max(down_px, TINY))
    );
}

// step_gradient grows by what `step_px` gets. Gives what `axis_px` gets.
float pair_offset_adjoint(float step_px, float axis_px, float gradient, inout float step_gradient) {
#if QUALITY == HIGH
    float width_px = max(step_px / 2.0, 1.0);
    float excess = (axis_px * axis_px - 2.0 * width_px * width_px + 1.0) / 12.0;
    if (excess <= 0.0) {
        return 0.0;
    }
    float root = sqrt(excess);
    float of_excess = gradient / axis_px * 0.5 / max(root, ROOT_FLOOR);
    step_gradient -= step_px < 2.0 ? 0.0 : of_excess * step_px / 12.0;
    return of_excess * axis_px / 6.0 - gradient * root / (axis_px * axis_px);
#else
    return 0.0;
#endif
}

// What `step_px` gets; of `lod_bias` it is what of the gradient the clamps let through.
float quality_lod_adjoint(float step_px, float gradient) {
    return step_px < 1.0 ? 0.0 : gradient / (step_px * LN_2);
}

float lod_adjoint(Taps cut, float lod_bias, float max_level, float gradient) {
#if QUALITY == EXACT
    return 0.0;
#else
    float lod = quality_lod(cut.step_px, lod_bias);
    return lod < 0.0 || lod >= max_level ? 0.0 : gradient;  // at the coarsest both levels of a tap are the same
#endif
}

Sides taps_adjoint(vec2 right, vec2 down, Taps cut, Moments sums, float of_lod) {
    float major_px = length(cut.major);
    float minor_px = length(cut.minor);
    float of_step = quality_lod_adjoint(cut.step_px, of_lod);
    float of_major_px = pair_offset_adjoint(cut.step_px, major_px / cut.major_count, sums.across, of_step) / cut.major_count;
    float of_minor_px = pair_offset_adjoint(cut.step_px, minor_px / cut.minor_count, sums.along, of_step) / cut.minor_count;
    float share = greater(major_px / cut.major_count, minor_px / cut.minor_count);
    float of_longest = of_step * share / cut.major_count;
    float of_shortest = of_step * (1.0 - share) / cut.minor_count;
    bool equal = greater(major_px, minor_px) == 0.5;
    float half_each = 0.5 * (of_longest + of_shortest);
    of_major_px += equal ? half_each : of_longest;
    of_minor_px += equal ? half_each : of_shortest;
    vec2 of_major = sums.major + length_adjoint(cut.major, of_major_px);
    vec2 of_minor = sums.minor + length_adjoint(cut.minor, of_minor_px);
    mat2 axes = singular_axes(right, down);
    bool down_is_major = length(axes[1]) > length(axes[0]);
    return singular_axes_adjoint(
        right, down, Sides(down_is_major ? of_minor : of_major, down_is_major ? of_major : of_minor)
    );
}

// Both halves of a row: the centre and `right`, `down` and the bias; a layer has none.
struct RowGradient {
    vec4 head;
    vec4 tail;
};

RowGradient prepare_adjoint(Footprint footprint, Taps cut, Moments sums, float max_level) {
    float of_lod = lod_adjoint(cut, footprint.lod_bias, max_level, sums.lod);
    Sides sides = taps_adjoint(footprint.right, footprint.down, cut, sums, of_lod);
    return RowGradient(vec4(sums.center, sums.right + sides.right), vec4(sums.down + sides.down, 0.0, of_lod));
}

// `unpack_footprint`: beyond its bounds a number moves nothing.
RowGradient unpack_footprint_adjoint(vec4 head, vec4 tail, RowGradient gradient) {
    vec4 zero = vec4(0.0);
    vec4 sides = vec4(tail.xy, 0.0, 0.0);
    return RowGradient(
        mix(zero, gradient.head, greaterThanEqual(vec4(FARTHEST_PX), abs(head))),
        mix(zero, gradient.tail, greaterThanEqual(vec4(FARTHEST_PX), abs(sides)))
    );
}
