// The log-polar chart of homunculus/layouts/warped.py, under the same names.

uniform vec2 fixation_px;
uniform float a_px;
uniform float radius_px;
uniform int patch_size;
uniform ivec2 tokens;  // wedges, rings: patches across and down the atlas

const float TURN = 6.28318530718;

vec2 texels() { return vec2(tokens * patch_size); }

// Column and row, continuous from 0 at the first texel's edge.
vec2 chart_place(vec2 point) {
    vec2 offset = point - fixation_px;
    float t = log(1.0 + length(offset) / a_px) / log(1.0 + radius_px / a_px);
    return vec2(fract(atan(-offset.y, offset.x) / TURN), t) * texels();
}

// A texel's length around the fixation, and outwards, at a place.
vec2 chart_axes_px(vec2 place) {
    float ring_step = log(1.0 + radius_px / a_px) / texels().y;
    float ring = min(floor(place.y), texels().y - 1.0);
    float edge_px = a_px * (exp(ring * ring_step) - 1.0);
    float width_px = (edge_px + a_px) * (exp(ring_step) - 1.0);
    return vec2((edge_px + width_px / 2.0) * TURN / texels().x, width_px);
}
