#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A client of libane_bridge as they are written with ctypes: bridge_client.py LIBRARY"""
import ctypes
import struct
import sys

lib = ctypes.CDLL(sys.argv[1])
size_p = ctypes.POINTER(ctypes.c_size_t)
bytes_p = ctypes.POINTER(ctypes.c_uint8)
lib.ane_bridge_compile.restype = ctypes.c_void_p
lib.ane_bridge_compile.argtypes = [ctypes.c_char_p, ctypes.c_size_t, bytes_p, ctypes.c_size_t,
                                   ctypes.c_int, size_p, ctypes.c_int, size_p]
lib.ane_bridge_eval.restype = ctypes.c_bool
lib.ane_bridge_eval.argtypes = [ctypes.c_void_p]
lib.ane_bridge_write_input.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p,
                                       ctypes.c_size_t]
lib.ane_bridge_read_output.argtypes = lib.ane_bridge_write_input.argtypes
lib.ane_bridge_free.argtypes = [ctypes.c_void_p]
lib.ane_bridge_build_weight_blob.restype = ctypes.c_void_p
lib.ane_bridge_build_weight_blob.argtypes = [ctypes.POINTER(ctypes.c_float), ctypes.c_int,
                                             ctypes.c_int, size_p]
lib.ane_bridge_free_blob.argtypes = [ctypes.c_void_p]

TEXT = b"""program(1.3)
{
    func main<ios18>(tensor<fp16, [1, 2, 1, 4]> x) {
        tensor<fp16, [2, 2, 1, 1]> w = const()[name = string("w"), val = tensor<fp16, [2, 2, 1, 1]>(BLOBFILE(path = string("@model_path/weights/weight.bin"), offset = uint64(64)))];
        tensor<fp16, [1, 2, 1, 4]> y = conv(pad_type = string("valid"), weight = w, x = x)[name = string("y")];
    } -> (y);
}
"""

assert lib.ane_bridge_init() == 0
lib.ane_bridge_reset_compile_count()
weights = (ctypes.c_float * 4)(0, 1, 2, 0)
length = ctypes.c_size_t()
blob = lib.ane_bridge_build_weight_blob(weights, 2, 2, ctypes.byref(length))
assert blob and length.value == 128 + 8
surface = (ctypes.c_size_t * 1)(16)
kernel = lib.ane_bridge_compile(TEXT, len(TEXT), ctypes.cast(blob, bytes_p), length, 1, surface, 1,
                                surface)
assert kernel, "not compiled"
lib.ane_bridge_free_blob(blob)
assert lib.ane_bridge_get_compile_count() == 1
given = struct.pack("<8e", *range(8))
lib.ane_bridge_write_input(kernel, 0, given, len(given))
assert lib.ane_bridge_eval(kernel)
taken = ctypes.create_string_buffer(16)
lib.ane_bridge_read_output(kernel, 0, taken, 16)
got = struct.unpack("<8e", taken.raw)
assert got == (4, 5, 6, 7, 0, 2, 4, 6), got
lib.ane_bridge_free(kernel)
assert not lib.ane_bridge_compile(b"nonsense", 8, None, 0, 1, surface, 1, surface)
assert not lib.ane_bridge_eval(None)
print("ok - a ctypes client")
