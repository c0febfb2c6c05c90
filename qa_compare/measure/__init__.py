"""Arrays in, numbers out: scores, intervals, calibration, BERTScore, slices and kinds of error."""
