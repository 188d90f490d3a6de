"""Prints what TensorBoard's own reader finds in a folder, as JSON: for each tag of scalars and of curves the list of
[step, value] and [step, values], for each tag of pictures that of [step, width, height]."""
import json
import sys

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.util import tensor_util

events = EventAccumulator(sys.argv[1], size_guidance={"scalars": 0, "images": 0, "tensors": 0})
events.Reload()
tags = events.Tags()
print(json.dumps({
    "scalars": {tag: [[e.step, e.value] for e in events.Scalars(tag)] for tag in tags["scalars"]},
    "pictures": {tag: [[e.step, e.width, e.height] for e in events.Images(tag)] for tag in tags["images"]},
    "curves": {tag: [[e.step, tensor_util.make_ndarray(e.tensor_proto).flatten().tolist()] for e in events.Tensors(tag)]
               for tag in tags["tensors"]},
}))
