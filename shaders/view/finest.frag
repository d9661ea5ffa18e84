// How far the level of detail of a footprint is from the coarsest thinkable, of which the most is kept.
#version 430

in vec2 place;
flat in float lod;

out vec4 finest;

const float COARSEST_LOD = 64.0;

void main() {
    if (any(lessThan(place, vec2(-1.0))) || any(greaterThanEqual(place, vec2(1.0)))) discard;
    finest = vec4(COARSEST_LOD - lod);
}
