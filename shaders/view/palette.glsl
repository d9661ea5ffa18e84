// A value as a colour: blended between neighbouring stops, clamped to the first and last.

#define PALETTE(name, stops, count) \
vec3 name(float value) { \
    float place = clamp(value, 0.0, float(count - 1)); \
    int low = min(int(place), count - 2); \
    return mix(stops[low], stops[low + 1], place - float(low)); \
}

#define LODS 7
#define HEATS 9
uniform vec3 lod_stops[LODS];    // one a level
uniform vec3 heat_stops[HEATS];  // from 0 to 1
PALETTE(lod_color, lod_stops, LODS)
PALETTE(heat_stop, heat_stops, HEATS)

vec3 heat_color(float value) { return heat_stop(value * float(HEATS - 1)); }
