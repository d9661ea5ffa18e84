// Taps of a picture kept as luma and, half as large, chroma: the fetch of footprint.glsl. The matrix is linear, so what is filtered and
// then becomes RGB is what RGB filtered would be. Beyond the picture luma is 0 and chroma neutral, so neither adds colour there. Alpha is
// not stored: a texel's is known from the picture's size. The same in bridge/planar.py and bridge/twin/planes.py.

const float NEUTRAL = 128.0 / 255.0;
const float LEAST_KNOWN = 0.25;  // of alpha: where less of the chroma lies inside, beyond an edge, its colour fades

// The two levels that a trilinear tap blends.
struct Cover {
    vec2 fine_texels;    // of the padded picture
    vec2 fine_inside;    // of the picture itself, the last of them in part
    vec2 coarse_texels;
    vec2 coarse_inside;
    float blend;
};

// What the taps of one footprint share.
struct PlaneGrid {
    Cover luma;
    Cover chroma;
    float chroma_lod;
    float spread;  // of chroma taps
};

float halved(float level) { return uintBitsToFloat(uint(127 - int(level)) << 23u); }  // 2^-level

Cover cover_at(vec2 padded, vec2 inside, float lod, float coarsest) {
    float level = floor(lod);
    float fine = halved(level);
    float coarse = halved(min(level + 1.0, coarsest));
    return Cover(padded * fine, inside * fine, padded * coarse, inside * coarse, lod - level);
}

// How far apart the two chroma taps of a step are, of what those of luma are: chroma has no level finer than its own, whose texels are
// 2 px wide, and taps of them make up by so much less of the step. lod: of luma, not clamped. pair_offset for both, of an upright square.
float chroma_spread(float lod) {
#if QUALITY == EXACT
    return lod < 0.0 ? 0.0 : 1.0;
#else
    float texel = exp2(2.0 * clamp(lod, 0.0, 1.0));  // its area, in pixels
    return sqrt(clamp((4.0 * texel - 7.0) / (2.0 * texel + 1.0), 0.0, 1.0));
#endif
}

PlaneGrid plane_grid(float lod, float max_level, float spread) {
    float chroma_lod = max(lod - 1.0, 0.0);
    vec2 half_px = vec2(floor(0.5 * (picture_px.x + 1.0)), floor(0.5 * (picture_px.y + 1.0)));
    return PlaneGrid(
        cover_at(padded_px, picture_px, lod, max_level),
        cover_at(0.5 * padded_px, half_px, chroma_lod, max(max_level - 1.0, 0.0)),
        chroma_lod,
        spread
    );
}

// How much of texel `first` and of the next lies inside, along x and along y.
vec4 shares(vec2 first, vec2 inside) {
    vec2 own = clamp(min(inside - first, first + 1.0), vec2(0.0), vec2(1.0));
    vec2 next = clamp(min(inside - first - 1.0, first + 2.0), vec2(0.0), vec2(1.0));
    return vec4(own.x, next.x, own.y, next.y);
}

// As bytes hold it, and bilinear: the alpha of a texture of RGBA.
float stored_alpha(vec2 place, vec2 inside) {
    vec2 corner = vec2(floor(place.x - 0.5), floor(place.y - 0.5));
    vec2 share = place - 0.5 - corner;
    vec4 covered = shares(corner, inside);
    vec4 texels = covered.xyxy * covered.zzww * 255.0;
    texels = vec4(roundEven(texels.x), roundEven(texels.y), roundEven(texels.z), roundEven(texels.w)) * (1.0 / 255.0);
    vec2 rows = texels.xz + share.x * (texels.yw - texels.xz);
    return rows.x + share.y * (rows.y - rows.x);
}

float exact_alpha(vec2 place, vec2 inside) {
    vec2 corner = vec2(floor(place.x - 0.5), floor(place.y - 0.5));
    vec2 share = place - 0.5 - corner;
    vec4 covered = shares(corner, inside);
    vec2 sides = covered.xz + share * (covered.yw - covered.xz);
    return sides.x * sides.y;
}

// Premultiplied RGBA of a tap at `point`, aside of the middle of its step, in texture coordinates. Chroma is the mean of what of it lies
// inside.
vec4 plane_tap(PlaneGrid grid, sampler2DArray luma, vec2 point, vec2 aside, float layer, float lod) {
    vec2 sited = point + (grid.spread - 1.0) * aside + chroma_shift;
    float alpha = stored_alpha(point * grid.luma.fine_texels, grid.luma.fine_inside);
    alpha += grid.luma.blend * (stored_alpha(point * grid.luma.coarse_texels, grid.luma.coarse_inside) - alpha);
    float known = exact_alpha(sited * grid.chroma.fine_texels, grid.chroma.fine_inside);
    known += grid.chroma.blend * (exact_alpha(sited * grid.chroma.coarse_texels, grid.chroma.coarse_inside) - known);
    float light = (textureLod(luma, vec3(point, layer), lod).r - luma_code.x * alpha) * luma_code.y;
    vec2 colour = (textureLod(chroma, vec3(sited, layer), grid.chroma_lod).rg - NEUTRAL) * (alpha / max(max(known, LEAST_KNOWN * alpha), TINY));
    vec3 rgb = vec3(chroma_code.w * colour.y, chroma_code.y * colour.x + chroma_code.z * colour.y, chroma_code.x * colour.x) + light;
    return vec4(clamp(rgb, vec3(0.0), vec3(alpha)), alpha);
}
