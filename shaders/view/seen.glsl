// Where a target pixel lies in its patch, from -1 at one border to 1 at the other; nowhere outside.

flat in vec2 center;
flat in vec4 inverse_axes;
flat in vec2 cell;
flat in float weight;
flat in float level;
flat in float lod;

vec2 place_in_patch(vec2 point) {
    vec2 offset = point - center;
    return vec2(dot(offset, inverse_axes.xy), dot(offset, inverse_axes.zw));
}

bool outside_patch(vec2 place) { return any(lessThan(place, vec2(-1.0))) || any(greaterThanEqual(place, vec2(1.0))); }
