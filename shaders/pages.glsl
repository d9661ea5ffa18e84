// Taps of a picture of which only some tiles are on the device, each on a page of its own: the fetch of footprint.glsl. A page is a
// tile with a rim, and its own half level, so that one look-up and one trilinear fetch are a tap. The same in bridge/tiles/pages.py
// and bridge/twin/pages.py.

#define TILE_SHIFT 8
#define LEVELS 32
const float TILE_TEXELS = 256.0;
const float RIM_TEXELS = 2.0;
const float PAGE_TEXELS = 260.0;
const float LEVEL_SLACK = 1.0 / 1024.0;
const float FARTHEST_TILE = 65536.0;

// The page of a tile, or -1. No return from within a loop, here or below: llvmpipe then drops lanes that stay behind.
int page_of(int level, ivec2 tile) {
    int key = level << 24 | tile.y << 12 | tile.x;
    int place = int(uint(key) * 2654435761u >> 16) & table_mask;
    ivec2 entry = table[place];
    while (entry.x != key && entry.y >= 0) {
        place = (place + 1) & table_mask;
        entry = table[place];
    }
    return entry.y;
}

// Premultiplied RGBA at `point`, level-0 pixels from `origin`; of the finest coarser level where the one that is asked for is not there.
// The coarsest tile always is.
vec4 page_tap(sampler2DArray pages, vec2 point, float lod, inout float resident) {
    int level = int(lod + LEVEL_SLACK);
    float found = 1.0;
    int page = -1;
    bool beyond = false;  // the picture, where nothing is
    vec2 place = vec2(0.0);
    while (page < 0 && !beyond && level < LEVELS) {
        int shift = level + TILE_SHIFT;
        ivec2 base = ivec2(origin.x >> shift, origin.y >> shift);
        vec2 start = vec2(origin.x - (base.x << shift), origin.y - (base.y << shift));
        place = (start + point) * exp2(-float(level));  // texels of the level, from the corner of tile `base`
        vec2 step = clamp(vec2(floor(place.x / TILE_TEXELS), floor(place.y / TILE_TEXELS)), vec2(-FARTHEST_TILE), vec2(FARTHEST_TILE));
        ivec2 tile = clamp(base + ivec2(step), ivec2(0), ivec2(last_texel.x >> shift, last_texel.y >> shift));
        place = place - vec2(tile - base) * TILE_TEXELS;
        beyond = any(lessThan(place, vec2(-1.0))) || any(greaterThan(place, vec2(TILE_TEXELS + 1.0)));
        page = page_of(level, tile);
        if (page < 0 && !beyond) {
            found = 0.0;
            ++level;
        }
    }
    resident += found;
    vec4 texel = textureLod(pages, vec3((place + RIM_TEXELS) / PAGE_TEXELS, float(max(page, 0))), max(lod - float(level), 0.0));
    return beyond ? vec4(0.0) : texel;
}
