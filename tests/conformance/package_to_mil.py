#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Converts ML packages to MIL text: the program of Model.mlProgram, read from its protobuf.

    package_to_mil.py PACKAGE OUT_DIR        one package: OUT_DIR/model.mil and its weight files
    package_to_mil.py --cases CASES OUT_DIR  every CASES/NNNN/model.mlpackage, to OUT_DIR/NNNN, and
                                             OUT_DIR/manifest.tsv: case, dtype, outputs in order

Needs nothing but Python. Decodes the protobuf wire format itself; field numbers are those of the
public Model.proto and MIL.proto.
"""
import json
import os
import shutil
import struct
import sys

DTYPES = {1: "bool", 2: "string", 10: "fp16", 11: "fp32", 12: "fp64", 13: "bf16", 21: "int8",
          22: "int16", 23: "int32", 24: "int64", 25: "int4", 31: "uint8", 32: "uint16",
          33: "uint32", 34: "uint64", 35: "uint4", 36: "uint2", 37: "uint1", 38: "uint6",
          39: "uint3", 40: "fp8e4m3fn", 41: "fp8e5m2"}
# How values of a type lie in TensorValue.bytes: struct code and bytes, or bits for the narrow ones.
BYTES = {"fp16": "e", "int8": "b", "uint8": "B", "int16": "h", "uint16": "H", "uint32": "I",
         "uint64": "Q"}
NARROW = {"int4": (4, True), "uint4": (4, False), "uint2": (2, False), "uint1": (1, False),
          "uint6": (6, False), "uint3": (3, False)}
OPSETS = {"CoreML5": "ios15", "CoreML6": "ios16", "CoreML7": "ios17", "CoreML8": "ios18"}
INDENT = " " * 12


# ---- protobuf -------------------------------------------------------------------------------

def varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
        shift += 7


def signed(value):
    return value - (1 << 64) if value >= 1 << 63 else value


class Message:
    """Fields of one message: number -> list of raw values (int, or bytes)."""

    def __init__(self, data):
        self.fields = {}
        at = 0
        while at < len(data):
            key, at = varint(data, at)
            wire = key & 7
            if wire == 0:
                value, at = varint(data, at)
            elif wire == 1:
                value, at = data[at:at + 8], at + 8
            elif wire == 2:
                size, at = varint(data, at)
                value, at = data[at:at + size], at + size
            elif wire == 5:
                value, at = data[at:at + 4], at + 4
            else:
                raise ValueError(f"wire type {wire}")
            self.fields.setdefault(key >> 3, []).append(value)

    def has(self, number):
        return number in self.fields

    def all(self, number):
        return [Message(value) for value in self.fields.get(number, [])]

    def one(self, number):
        return Message(self.fields[number][-1]) if number in self.fields else Message(b"")

    def text(self, number):
        return self.fields[number][-1].decode() if number in self.fields else ""

    def texts(self, number):
        return [value.decode() for value in self.fields.get(number, [])]

    def integer(self, number):
        return signed(self.fields[number][-1]) if number in self.fields else 0

    def map(self, number):
        pairs = [(entry.text(1), entry.one(2)) for entry in self.all(number)]
        return sorted(pairs, key=lambda pair: pair[0])

    def varints(self, number):
        out = []
        for value in self.fields.get(number, []):
            if isinstance(value, int):
                out.append(signed(value))
                continue
            at = 0
            while at < len(value):
                item, at = varint(value, at)
                out.append(signed(item))
        return out

    def packed(self, number, code):
        size = struct.calcsize(code)
        data = b"".join(self.fields.get(number, []))
        return [struct.unpack_from("<" + code, data, at)[0] for at in range(0, len(data), size)]


# ---- types and values -----------------------------------------------------------------------

def dimension(message):
    if message.has(1):
        return str(message.one(1).integer(1))
    return "*?" if message.one(2).integer(1) else "?"


def type_text(message):
    if message.has(1):
        tensor = message.one(1)
        dtype = DTYPES[tensor.integer(1)]
        dims = [dimension(dim) for dim in tensor.all(3)]
        return f"tensor<{dtype}, [{', '.join(dims)}]>" if dims or tensor.integer(2) else dtype
    if message.has(2):
        return f"list<{type_text(message.one(2).one(1))}, {dimension(message.one(2).one(2))}>"
    if message.has(3):
        return f"tuple<{', '.join(type_text(item) for item in message.one(3).all(1))}>"
    if message.has(4):
        return f"dict<{type_text(message.one(4).one(1))}, {type_text(message.one(4).one(2))}>"
    if message.has(5):
        return f"state<{type_text(message.one(5).one(1))}>"
    raise ValueError("a value without a type")


def quoted(text):
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def float_text(value):
    if value != value:
        return "nan"
    if value in (float("inf"), float("-inf")):
        return "inf" if value > 0 else "-inf"
    return float.hex(value)


def narrow(data, bits, is_signed, count):
    number = int.from_bytes(data, "little")
    out = []
    for i in range(count):
        value = number >> (i * bits) & ((1 << bits) - 1)
        out.append(value - (1 << bits) if is_signed and value >> (bits - 1) else value)
    return out


def elements(tensor, dtype, count):
    """The numbers of a TensorValue as literals."""
    if tensor.has(4):
        return [quoted(text) for text in tensor.one(4).texts(1)]
    if tensor.has(1):
        return [float_text(value) for value in tensor.one(1).packed(1, "f")]
    if tensor.has(6):
        return [float_text(value) for value in tensor.one(6).packed(1, "d")]
    if tensor.has(2):
        return [str(value) for value in tensor.one(2).varints(1)]
    if tensor.has(5):
        return [str(value) for value in tensor.one(5).varints(1)]
    if tensor.has(3):
        return ["true" if value else "false" for value in tensor.one(3).varints(1)]
    if tensor.has(7):
        data = tensor.one(7).fields.get(1, [b""])[-1]
        if dtype in NARROW:
            return [str(value) for value in narrow(data, *NARROW[dtype], count)]
        if dtype == "bf16":
            words = struct.unpack(f"<{len(data) // 2}H", data)
            return [float_text(struct.unpack("<f", struct.pack("<I", word << 16))[0])
                    for word in words]
        code = BYTES[dtype]
        values = struct.unpack(f"<{len(data) // struct.calcsize(code)}{code}", data)
        return [float_text(value) if dtype == "fp16" else str(value) for value in values]
    return []


def nest(items, dims):
    if len(dims) <= 1:
        return f"[{', '.join(items)}]"
    step = len(items) // dims[0] if dims[0] else 0
    rows = [nest(items[i * step:(i + 1) * step], dims[1:]) for i in range(dims[0])]
    return f"[{', '.join(rows)}]"


def tensor_text(message, tensor):
    dims = [dim.one(1).integer(1) if dim.has(1) else None for dim in message.one(1).all(3)]
    count = 1
    for dim in dims:
        count *= dim or 1
    items = elements(tensor, DTYPES[message.one(1).integer(1)], count)
    if not dims:
        return items[0]
    if None in dims:
        return f"[{', '.join(items)}]"
    if len(items) == 1 and count > 1:
        items = items * count
    return nest(items, dims)


def contents(type_message, immediate):
    """What stands between the parentheses of a value."""
    if immediate.has(1):
        return tensor_text(type_message, immediate.one(1))
    if immediate.has(2):
        return "(" + ", ".join(contents(v.one(2), v.one(3)) for v in immediate.one(2).all(1)) + ")"
    if immediate.has(3):
        return "[" + ", ".join(contents(v.one(2), v.one(3)) for v in immediate.one(3).all(1)) + "]"
    pairs = []
    for pair in immediate.one(4).all(1):
        key, value = pair.one(1), pair.one(2)
        pairs.append("{" + contents(key.one(2), key.one(3)) + ", " +
                     contents(value.one(2), value.one(3)) + "}")
    return "{" + ", ".join(pairs) + "}"


def value_text(value):
    kind = type_text(value.one(2))
    if value.has(5):
        blob = value.one(5)
        return (f"{kind}(BLOBFILE(path = string({quoted(blob.text(1))}), "
                f"offset = uint64({blob.integer(2)})))")
    return f"{kind}({contents(value.one(2), value.one(3))})"


# ---- programs -------------------------------------------------------------------------------

def attributes_text(message, number):
    pairs = message.map(number)
    return "[" + ", ".join(f"{name} = {value_text(value)}" for name, value in pairs) + "]" \
        if pairs else ""


def binding_text(binding):
    return binding.text(1) if binding.has(1) else value_text(binding.one(2))


def argument_text(argument):
    items = [binding_text(binding) for binding in argument.all(1)]
    return items[0] if len(items) == 1 else "(" + ", ".join(items) + ")"


def operation_text(op):
    outputs = ", ".join(f"{type_text(out.one(2))} {out.text(1)}" for out in op.all(3))
    arguments = ", ".join(f"{name} = {argument_text(arg)}" for name, arg in op.map(2))
    text = f"{outputs} = " if outputs else ""
    text += f"{op.text(1)}({arguments}){attributes_text(op, 5)}"
    for block in op.all(4):
        params = ", ".join(f"{type_text(p.one(2))} {p.text(1)}" for p in block.all(1))
        text += f" ({params}) " + block_text(block)
    return text + ";"


def block_text(block):
    lines = [INDENT + operation_text(op) for op in block.all(3)]
    return "{\n" + "\n".join(lines) + "\n        } -> (" + ", ".join(block.texts(2)) + ")"


def function_text(name, function):
    params = ", ".join(f"{type_text(p.one(2))} {p.text(1)}"
                       for p in sorted(function.all(1), key=lambda p: p.text(1)))
    opset = function.text(2)
    block = dict(function.map(3))[opset]
    spelled = OPSETS.get(opset, opset.lower())
    return f"    func {name}<{spelled}>({params}) {block_text(block)};\n"


def convert(package, out_dir):
    """Writes OUT_DIR/model.mil and the package's weights; returns the model's output names and
    whether it computes in fp16."""
    folder = os.path.join(package, "Data", "com.apple.CoreML")
    with open(os.path.join(folder, "model.mlmodel"), "rb") as file:
        model = Message(file.read())
    if not model.has(502):
        raise ValueError("not an ML program")
    program = model.one(502)
    version = "1.3" if model.integer(1) >= 9 else "1.0"
    text = f"program({version})\n{{\n"
    for name, function in program.map(2):
        text += function_text(name, function)
    os.makedirs(out_dir, exist_ok=True)
    with open(os.path.join(out_dir, "model.mil"), "w", encoding="utf-8") as file:
        file.write(text + "}\n")
    weights = os.path.join(folder, "weights")
    if os.path.isdir(weights) and os.listdir(weights):
        shutil.copytree(weights, os.path.join(out_dir, "weights"), dirs_exist_ok=True)
    return [feature.text(1) for feature in model.one(2).all(10)], "fp16" in text


def convert_cases(cases, out_dir):
    lines = []
    for case in sorted(os.listdir(cases)):
        with open(os.path.join(cases, case, "case.json"), encoding="utf-8") as file:
            info = json.load(file)
        outputs, half = convert(os.path.join(cases, case, "model.mlpackage"),
                                os.path.join(out_dir, case))
        # Some "fp32" tests build fp16 programs by hand.
        dtype = "fp16" if half else info["dtype"]
        lines.append("\t".join([case, dtype, *outputs]) + "\n")
    with open(os.path.join(out_dir, "manifest.tsv"), "w", encoding="utf-8") as file:
        file.writelines(lines)
    print(f"{len(lines)} cases")


def main():
    arguments = sys.argv[1:]
    if len(arguments) == 3 and arguments[0] == "--cases":
        convert_cases(arguments[1], arguments[2])
    elif len(arguments) == 2:
        convert(*arguments)
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()
