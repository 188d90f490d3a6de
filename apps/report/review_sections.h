// The sections of a page that are made of a Review: what the network confuses, how sure it is, pictures.
#pragma once

#include <string>
#include <vector>

#include "apps/report/review.h"

namespace unet {

/// "road", or "class 3".
std::string title_of_class(const Review& review, std::size_t c);

/// Confusion in pixels and in shares of the true class. Of more than 24 classes the largest mistakes alone.
std::string confusion_tables(const Review& review);
/// Precision over recall and the histogram of the images' Dice, side by side.
std::string review_charts(const Review& review);
/// Worst, median and best: photo, truth, prediction, errors, with the colours' meaning.
std::string picture_rows(const Review& review);
std::string batch_pictures(const Review& review);
/// What the colours of classes mean, and of errors.
std::string colour_legend(const Review& review, bool errors);

}  // namespace unet
