#!/usr/bin/env python3
"""A strict reader of safetensors files, written from the description of the format alone, standard library only.

    strict_safetensors.py FILE             one line a tensor, in the order of the data: name dtype shape hex; then the
                                           metadata as JSON; exit 1 and the reason if the file breaks a rule
    strict_safetensors.py --verdicts DIR   a line `accept NAME` or `reject NAME reason` for every file of a folder
"""
import json
import os
import struct
import sys

SIZES = dict(BOOL=1, U8=1, I8=1, I16=2, U16=2, F16=2, BF16=2, I32=4, U32=4, F32=4, F64=8, I64=8, U64=8)


class Refused(Exception):
    pass


def require(condition, reason):
    if not condition:
        raise Refused(reason)


def whole_text(text):
    return not any(0xD800 <= ord(c) <= 0xDFFF for c in text)


def unique(pairs):
    result = {}
    for key, value in pairs:
        require(key not in result, f"duplicate key {key!r}")
        require(whole_text(key), "lone surrogate")
        result[key] = value
    return result


def plain_integer(text):
    # json hands over the digits: -0 and 007 are no plain integers.
    require(text == str(int(text)) and int(text) >= 0, f"not a plain integer: {text}")
    return int(text)


def refuse_number(text):
    raise Refused(f"not an integer: {text}")


def parse(data):
    """-> [(name, dtype, shape, bytes)], metadata"""
    require(len(data) >= 8, "shorter than the length of the header")
    (length,) = struct.unpack("<Q", data[:8])
    require(length <= 100_000_000, "header too long")
    require(8 + length <= len(data), "header cut short")
    try:
        text = data[8 : 8 + length].decode("utf-8")
        require(text.startswith("{"), "header does not start with {")
        header = json.loads(
            text, object_pairs_hook=unique, parse_int=plain_integer, parse_float=refuse_number, parse_constant=refuse_number
        )
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise Refused(f"bad header: {error}")
    metadata = header.pop("__metadata__", {})
    require(isinstance(metadata, dict), "__metadata__ is no object")
    for key, value in metadata.items():
        require(isinstance(value, str), "value of __metadata__ is no string")
        require(whole_text(value), "lone surrogate")
    body = data[8 + length :]
    tensors = []
    for name, entry in header.items():
        require(isinstance(entry, dict) and set(entry) == {"dtype", "shape", "data_offsets"}, f"fields of {name!r}")
        dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
        require(isinstance(dtype, str) and dtype in SIZES, f"dtype of {name!r}")
        require(isinstance(shape, list) and all(type(d) is int and d < 2**63 for d in shape), f"shape of {name!r}")
        require(isinstance(offsets, list) and len(offsets) == 2, f"offsets of {name!r}")
        require(all(type(o) is int for o in offsets), f"offsets of {name!r}")
        size = 1
        for dim in shape + [SIZES[dtype]]:
            size *= dim
            require(size < 2**64, f"overflow in {name!r}")
        begin, end = offsets
        require(begin <= end <= len(body) and end - begin == size, f"size of {name!r}")
        tensors.append((begin, end, name, dtype, shape))
    tensors.sort()
    at = 0
    for begin, end, name, _, _ in tensors:
        require(begin == at, f"hole or overlap before {name!r}")
        at = end
    require(at == len(body), "trailing bytes")
    return [(name, dtype, shape, body[begin:end]) for begin, end, name, dtype, shape in tensors], metadata


def main(arguments):
    if arguments[0] == "--verdicts":
        for file in sorted(os.listdir(arguments[1])):
            if not file.endswith(".safetensors"):
                continue
            try:
                with open(os.path.join(arguments[1], file), "rb") as stream:
                    parse(stream.read())
                print("accept", file)
            except Refused as reason:
                print("reject", file, ascii(str(reason)))
        return 0
    try:
        with open(arguments[0], "rb") as stream:
            tensors, metadata = parse(stream.read())
    except Refused as reason:
        print(reason, file=sys.stderr)
        return 1
    for name, dtype, shape, data in tensors:
        print(json.dumps(name), dtype, json.dumps(shape, separators=(",", ":")), data.hex())
    print(json.dumps(metadata, sort_keys=True, separators=(",", ":")))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
