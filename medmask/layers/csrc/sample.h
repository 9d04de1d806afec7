// The geometry of one sample: the definition that the kernels of all devices share.
#pragma once

#include <c10/macros/Macros.h>

#include <cstdint>

namespace medmask {

constexpr int kCorners = 4;     // top left, top right, bottom left, bottom right
constexpr int32_t kNoRow = -1;  // a corner outside the map

// From a location in [0, 1] of a map to pixels, of which the first has its center at 0.
template <typename A>
C10_HOST_DEVICE C10_ALWAYS_INLINE A to_pixels(A location, int32_t size) {
  return location * size - A(0.5);
}

// The four pixels around a location, and how it divides the square between them.
//
// A sample that is outside the map by a pixel or more, or whose location is not a number, has no
// rows and is not `inside`; all its numbers are finite all the same.
template <typename A>
struct Sample {
  bool inside;
  int32_t row[kCorners];     // token index within the image, or kNoRow
  A fraction_x, fraction_y;  // distance from the left and top pixels

  // At (x, y) in pixels, of which the first has its center at 0; `start` is the index of the first
  // token of a level of `width` x `height` pixels.
  C10_HOST_DEVICE C10_ALWAYS_INLINE Sample(A x, A y, int32_t width, int32_t height, int32_t start) {
    inside = (x >= -1) & (x < width) & (y >= -1) & (y < height);  // false for NaN
    x = inside ? x : 0;  // before the conversion, which is undefined for large numbers
    y = inside ? y : 0;
    int32_t left = static_cast<int32_t>(x), top = static_cast<int32_t>(y);
    left -= x < left;  // downwards, not towards zero
    top -= y < top;
    fraction_x = x - left;
    fraction_y = y - top;
    const bool has_left = inside & (left >= 0), has_right = inside & (left + 1 < width);
    const bool has_top = top >= 0, has_bottom = top + 1 < height;
    const int32_t first = start + top * width + left;
    row[0] = has_top & has_left ? first : kNoRow;
    row[1] = has_top & has_right ? first + 1 : kNoRow;
    row[2] = has_bottom & has_left ? first + width : kNoRow;
    row[3] = has_bottom & has_right ? first + width + 1 : kNoRow;
  }

  C10_HOST_DEVICE C10_ALWAYS_INLINE A weight(int corner) const {
    return (corner < 2 ? 1 - fraction_y : fraction_y) *
           (corner % 2 == 0 ? 1 - fraction_x : fraction_x);
  }
};

// What a sample's gradients follow from: the bilinear interpolation of a number given at its
// corners, and the slopes of that interpolation along x and y, per pixel.
template <typename A>
struct Interpolation {
  A value, slope_x, slope_y;

  C10_HOST_DEVICE C10_ALWAYS_INLINE Interpolation(A fraction_x, A fraction_y, A top_left,
                                                  A top_right, A bottom_left, A bottom_right) {
    const A along_top = top_right - top_left, along_bottom = bottom_right - bottom_left;
    const A top = top_left + fraction_x * along_top;
    const A bottom = bottom_left + fraction_x * along_bottom;
    slope_x = along_top + fraction_y * (along_bottom - along_top);
    slope_y = bottom - top;
    value = top + fraction_y * slope_y;
  }
};

}  // namespace medmask
