// Taps of a picture of which only some tiles are on the device, each on a page of its own: the fetch of footprint.glsl. A page is a
// tile with a rim, and its own half level, so that one look-up and one trilinear fetch are a tap. The table holds the tiles that the
// plan needs, each in a place of its own: nothing here goes round or branches. The same in bridge/tiles/pages.py and bridge/twin.

#define TILE_SHIFT 8
const float TILE_TEXELS = 256.0;
const float RIM_TEXELS = 2.0;
const float PAGE_TEXELS = 260.0;
const float LEVEL_SLACK = 1.0 / 1024.0;

// A level as the taps of one footprint look their tiles up.
struct TileGrid {
    int level;
    bool wanted;  // whether it is the level that the taps ask for
    float scale;  // texels a level-0 pixel
    ivec2 base;   // the tile that holds the plan's origin
    vec2 start;   // from that tile's corner to the origin, level-0 pixels
    vec2 first;   // tile of the picture, counted from base
    vec2 last;
#if NARROW
    vec2 corner;  // the first of the 2 x 2 tiles that hold the footprint
    ivec4 pages;  // theirs, row by row
#endif
};

ivec2 entry_of(int key) {
    return table[int(uint(key) * uint(table_spread) >> uint(table_shift))];
}

int key_of(TileGrid grid, vec2 steps) {
    ivec2 tile = grid.base + ivec2(steps);
    return grid.level << 24 | tile.y << 12 | tile.x;
}

// The tile that holds a place in texels of the level, counted from base; of one beyond the picture the nearest.
vec2 tile_of(TileGrid grid, vec2 place) {
    return clamp(vec2(floor(place.x * (1.0 / TILE_TEXELS)), floor(place.y * (1.0 / TILE_TEXELS))), grid.first, grid.last);
}

#if NARROW
int page_of(TileGrid grid, vec2 steps) {
    int key = key_of(grid, min(steps, grid.last));
    ivec2 entry = entry_of(key);
    return entry.x == key ? entry.y : -1;
}
#endif

// low: the least x and y of what the footprint covers.
TileGrid tile_grid(float lod, vec2 low) {
    TileGrid grid;
    int asked = int(lod + LEVEL_SLACK);
    grid.level = max(asked, finest_level);
    grid.wanted = grid.level == asked;
    int shift = grid.level + TILE_SHIFT;
    grid.scale = exp2(-float(grid.level));
    grid.base = ivec2(origin.x >> shift, origin.y >> shift);
    grid.start = vec2(origin.x - (grid.base.x << shift), origin.y - (grid.base.y << shift));
    grid.first = -vec2(grid.base);
    grid.last = vec2((last_texel.x >> shift) - grid.base.x, (last_texel.y >> shift) - grid.base.y);
#if NARROW
    vec2 corner = tile_of(grid, (grid.start + low) * grid.scale - 1.0);
    grid.corner = corner;
    grid.pages = ivec4(page_of(grid, corner), page_of(grid, corner + vec2(1.0, 0.0)),
                       page_of(grid, corner + vec2(0.0, 1.0)), page_of(grid, corner + vec2(1.0, 1.0)));
#endif
    return grid;
}

// Premultiplied RGBA at `point`, level-0 pixels from `origin`. What has no page lies beyond the picture. NARROW: no footprint covers more
// than 2 x 2 tiles. STAND_INS: where a tile is not on the device, its entry names one of a coarser level.
vec4 page_tap(TileGrid grid, sampler2DArray pages, vec2 point, float lod, inout float resident) {
    vec2 place = (grid.start + point) * grid.scale;  // texels of the level, from the corner of tile `base`
    vec2 steps = tile_of(grid, place);
    place = place - steps * TILE_TEXELS;
    int coarser = 0;
#if NARROW
    bool right = steps.x > grid.corner.x;
    int page = steps.y > grid.corner.y ? (right ? grid.pages.w : grid.pages.z) : (right ? grid.pages.y : grid.pages.x);
    bool found = page >= 0;
#else
    int key = key_of(grid, steps);
    ivec2 entry = entry_of(key);
    bool found = entry.x == key;
    int page = entry.y & 0xFFFF;
#endif
#if STAND_INS
    coarser = found ? entry.y >> 16 : 0;
    int inner = (1 << coarser) - 1;
    ivec2 tile = grid.base + ivec2(steps);
    vec2 within = vec2(tile.x & inner, tile.y & inner) * TILE_TEXELS;
    place = (within + place) * uintBitsToFloat(uint(127 - coarser) << 23u);  // 2^-coarser
#endif
    place = clamp(place, vec2(-1.0), vec2(TILE_TEXELS + 1.0));  // farther out the rim is empty
    resident += grid.wanted && coarser == 0 ? 1.0 : 0.0;
    vec3 texel = vec3((place + RIM_TEXELS) * (1.0 / PAGE_TEXELS), float(page));
    vec4 value = textureLod(pages, texel, max(lod - float(grid.level + coarser), 0.0));
    return found ? value : vec4(0.0);
}
