// How far the level of detail of a footprint is from the coarsest thinkable, of which the most is kept.
#version 430

in vec2 place;
flat in vec2 reach;
flat in float lod;

out vec4 finest;

const float COARSEST_LOD = 64.0;

void main() {
    if (any(greaterThan(abs(place), reach))) discard;
    finest = vec4(COARSEST_LOD - lod);
}
