// From the image to the target and back. Both have their origin at the top left and y down: row 0 of the target is its top.

uniform vec2 target_px;  // width, height
uniform vec2 corner_px;  // of the area that is drawn, in the target
uniform vec2 area_px;    // its width, height
uniform vec2 origin_px;  // the image point at the corner
uniform float step_px;   // image pixels of one target pixel
uniform vec2 image_px;   // width, height

vec2 to_target(vec2 point) { return corner_px + (point - origin_px) / step_px; }

vec2 to_image(vec2 place) { return origin_px + (place - corner_px) * step_px; }

vec4 position(vec2 place) { return vec4(place / target_px * 2.0 - 1.0, 0.0, 1.0); }
