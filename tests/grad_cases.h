// SPDX-License-Identifier: MIT
// Functions to differentiate: at least one for every operation that has a gradient.
//
// inputs and the left sides of body spell a value as name[dims], fp64 unless a type follows the
// name (idx:int32[4]). {1, 0} in body is a constant list of int32 (of bool for true and false).
// Every value that body makes and nobody reads is an output.
#ifndef MILO_TESTS_GRAD_CASES_H
#define MILO_TESTS_GRAD_CASES_H

typedef struct grad_case {
  const char *inputs, *body;
  double low, high;  // of random floats; both 0: -1.5 to 1.5
  int ints;          // random integers lie in [0, ints)
  double step;       // of the central differences; 0: 1e-5
} grad_case;

#define UNARY_CASE(op) \
  { "x[3,5]", "z[3,5] = " op "(x = x)" }
#define REDUCE_CASES(op, low, high)                                                                \
  {"x[3,4,2]", "z[3,2] = " op "(x = x, axes = {1})", low, high},                                   \
      {"x[3,4,2]", "z[1,4,1] = " op "(x = x, axes = {0, -1}, keep_dims = bool(true))", low, high}, \
  {                                                                                                \
    "x[3,5]", "z[] = " op "(x = x)", low, high                                                     \
  }

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"  // what a case leaves out is 0
static const grad_case grad_cases[] = {
    // one argument
    UNARY_CASE("identity"),
    UNARY_CASE("abs"),
    UNARY_CASE("square"),
    {"x[3,5]", "z[3,5] = sqrt(x = x)", 0.2, 3},
    {"x[3,5]", "z[3,5] = rsqrt(x = x)", 0.2, 3},
    {"x[3,5]", "z[3,5] = rsqrt(x = x, epsilon = fp64(0.25))", 0.2, 3},
    {"x[3,5]", "z[3,5] = inverse(x = x)", 0.2, 3},
    {"x[3,5]", "z[3,5] = inverse(x = x, epsilon = fp64(0.5))", 0.2, 3},
    UNARY_CASE("exp"),
    UNARY_CASE("exp2"),
    {"x[3,5]", "z[3,5] = log(x = x)", 0.2, 3},
    {"x[3,5]", "z[3,5] = log(x = x, epsilon = fp64(0.125))", 0.2, 3},
    UNARY_CASE("sin"),
    UNARY_CASE("cos"),
    {"x[3,5]", "z[3,5] = tan(x = x)", -1, 1},
    {"x[3,5]", "z[3,5] = asin(x = x)", -0.9, 0.9},
    {"x[3,5]", "z[3,5] = acos(x = x)", -0.9, 0.9},
    UNARY_CASE("atan"),
    UNARY_CASE("sinh"),
    UNARY_CASE("cosh"),
    UNARY_CASE("tanh"),
    {"x[3,5]", "z[3,5] = atanh(x = x)", -0.9, 0.9},
    UNARY_CASE("erf"),
    UNARY_CASE("sigmoid"),
    UNARY_CASE("silu"),
    UNARY_CASE("relu"),
    {"x[4,5]", "z[4,5] = relu6(x = x)", -5, 11},
    {"x[4,5]", "z[4,5] = softplus(x = x)", -30, 30},
    UNARY_CASE("softsign"),
    {"x[3,5]", "z[3,5] = gelu(x = x)", -3, 3},
    {"x[3,5]", "z[3,5] = gelu(x = x, mode = string(\"TANH_APPROXIMATION\"))", -3, 3},
    {"x[3,5]", "z[3,5] = gelu(x = x, mode = string(\"SIGMOID_APPROXIMATION\"))", -3, 3},
    {"x[3,5]", "z[3,5] = leaky_relu(x = x, alpha = fp64(0.1))"},
    {"x[3,5]", "z[3,5] = elu(x = x, alpha = fp64(0.7))"},
    {"x[3,5]", "z[3,5] = clip(x = x, alpha = fp64(-0.5), beta = fp64(0.75))"},
    // Rounded to fp32: linear, so that a wide step costs nothing.
    {"x[7]",
     "h:fp32[7] = cast(x = x, dtype = string(\"fp32\")); "
     "z[7] = cast(x = h, dtype = string(\"fp64\"))",
     -1, 1, 0, 0.25},

    // two arguments, broadcast
    {"x[2,3], y[2,3]", "z[2,3] = add(x = x, y = y)"},
    {"x[2,3,4], y[4]", "z[2,3,4] = add(x = x, y = y)"},
    {"x[2,1,4], y[3,1]", "z[2,3,4] = sub(x = x, y = y)"},
    {"x[5], y[]", "z[5] = sub(x = y, y = x)"},
    {"x[2,1,4], y[3,1]", "z[2,3,4] = mul(x = x, y = y)"},
    {"x[2,3], y[1,1,3]", "z[1,2,3] = mul(x = x, y = y)"},
    {"x[3,4], y[4]", "z[3,4] = real_div(x = x, y = y)", 0.3, 2},
    // Far from where the quotient jumps, also once rounded to bf16.
    {"x[4], y[3,4]", "w[4] = add(x = x, y = fp64(1.4)); z[3,4] = mod(x = w, y = y)", 0.9, 1.1},
    {"x[3,4], y[4]", "z[3,4] = pow(x = x, y = y)", 0.3, 2},
    {"x[3,4]", "z[3,4] = pow(x = x, y = fp64(3)); w[3,4] = pow(x = x, y = fp64(2))"},
    {"x[3,4]",
     "z[3,4] = pow(x = x, y = fp64(-1.5)); w[3,4] = pow(x = x, y = fp64(0)); "
     "v[3,4] = pow(x = x, y = fp64(1)); u[3,4] = pow(x = fp64(2.5), y = x)",
     0.3, 2},
    {"x[3,4], y[1,4]", "z[3,4] = maximum(x = x, y = y)"},
    {"x[3,4], y[3,1]", "z[3,4] = minimum(x = x, y = y)"},
    {"c:bool[3,1], x[3,4], y[4]", "z[3,4] = select(cond = c, a = x, b = y)", 0, 0, 2},
    {"x[3,4], y[3,4]",
     "c:bool[3,4] = greater(x = x, y = y); z[3,4] = select(cond = c, a = x, b = y)"},

    // matrix products
    {"x[3,4], y[4,5]", "z[3,5] = matmul(x = x, y = y)"},
    {"x[4,3], y[4,5]", "z[3,5] = matmul(x = x, y = y, transpose_x = bool(true))"},
    {"x[3,4], y[5,4]", "z[3,5] = matmul(x = x, y = y, transpose_y = bool(true))"},
    {"x[4,3], y[5,4]",
     "z[3,5] = matmul(x = x, y = y, transpose_x = bool(true), transpose_y = bool(true))"},
    {"x[2,1,3,4], y[3,4,2]", "z[2,3,3,2] = matmul(x = x, y = y)"},
    {"x[2,3,4], y[4,5]", "z[2,3,5] = matmul(x = x, y = y)"},
    {"x[2,3,4], y[5,4]", "z[2,3,5] = matmul(x = x, y = y, transpose_y = bool(true))"},
    {"x[2,4,3], y[1,5,4]",
     "z[2,3,5] = matmul(x = x, y = y, transpose_x = bool(true), transpose_y = bool(true))"},
    {"x[3,4], y[2,4,5]", "z[2,3,5] = matmul(x = x, y = y)"},
    {"x[4,3], y[2,5,4]",
     "z[2,3,5] = matmul(x = x, y = y, transpose_x = bool(true), transpose_y = bool(true))"},
    {"x[4], y[4,5]", "z[5] = matmul(x = x, y = y)"},
    {"x[4], y[2,5,4]", "z[2,5] = matmul(x = x, y = y, transpose_y = bool(true))"},
    {"x[2,3,4], y[4]", "z[2,3] = matmul(x = x, y = y)"},
    {"x[2,4,3], y[4]", "z[2,3] = matmul(x = x, y = y, transpose_x = bool(true))"},
    {"x[4], y[4]", "z[] = matmul(x = x, y = y)"},
    {"x[3,4], w[5,4], b[5]", "z[3,5] = linear(x = x, weight = w, bias = b)"},
    {"x[2,3,4], w[5,4]", "z[2,3,5] = linear(x = x, weight = w)"},
    {"x[4], w[5,4], b[5]", "z[5] = linear(x = x, weight = w, bias = b)"},

    // Weights of another type than x: the gradient has the weight's.
    {"x[3,4], w:fp32[5,4], b:fp32[5]", "z[3,5] = linear(x = x, weight = w, bias = b)", -1, 1, 0,
     0.25},
    {"x[4,3], y:fp32[2,5,4]",
     "z[2,3,5] = matmul(x = x, y = y, transpose_x = bool(true), transpose_y = bool(true))", -1, 1,
     0, 0.25},
    {"x[2,4,9], w:fp32[6,2,3], b:fp32[6]",
     "z[2,6,4] = conv(x = x, weight = w, bias = b, strides = {2}, groups = int32(2))", -1, 1, 0,
     0.25},

    // convolutions: pointwise, then strides, dilations, pads and groups, in one to three dimensions
    {"x[2,3,4,5], w[6,3,1,1], b[6]", "z[2,6,4,5] = conv(x = x, weight = w, bias = b)"},
    {"x[2,4,5], w[6,2,1]", "z[2,6,3] = conv(x = x, weight = w, strides = {2}, groups = int32(2))"},
    {"x[1,3,5,4], w[2,3,1,1]", "z[1,2,2,2] = conv(x = x, weight = w, strides = {3, 2})"},
    {"x[2,3,7], w[4,3,3], b[4]", "z[2,4,5] = conv(x = x, weight = w, bias = b)"},
    {"x[2,4,9], w[6,2,3]",
     "z[2,6,4] = conv(x = x, weight = w, strides = {2}, pad_type = string(\"custom\"), "
     "pad = {1, 2}, dilations = {2}, groups = int32(2))"},
    {"x[2,2,6,7], w[3,2,3,2]",
     "z[2,3,3,4] = conv(x = x, weight = w, strides = {2, 2}, pad_type = string(\"same\"))"},
    {"x[1,2,6,7], w[3,2,2,4]",
     "z[1,3,3,4] = conv(x = x, weight = w, strides = {2, 2}, pad_type = string(\"same_lower\"))"},
    {"x[2,3,5,6], w[3,1,3,3]",
     "z[2,3,5,6] = conv(x = x, weight = w, pad_type = string(\"same\"), groups = int32(3))"},
    {"x[1,2,8,5], w[2,2,2,2]",
     "z[1,2,3,3] = conv(x = x, weight = w, strides = {3, 1}, dilations = {1, 2})"},
    // Padding wider than the kernel's reach; a stride that skips the end.
    {"x[1,2,4], w[3,2,2]",
     "z[1,3,5] = conv(x = x, weight = w, strides = {2}, pad_type = string(\"custom\"), pad = {3, "
     "4})"},
    // All of the padding in front is read, and none of x.
    {"x[1,2,1], w[3,2,1]",
     "z[1,3,2] = conv(x = x, weight = w, strides = {2}, pad_type = string(\"custom\"), pad = {1, "
     "1})"},
    {"x[1,2,2], w[3,2,1]",
     "z[1,3,1] = conv(x = x, weight = w, strides = {4}, pad_type = string(\"custom\"), pad = {2, "
     "0})"},
    {"x[1,1,3], w[1,1,1]",
     "z[1,1,6] = conv(x = x, weight = w, pad_type = string(\"custom\"), pad = {1, 2})"},
    {"x[1,2,4,3,4], w[4,1,2,2,2], b[4]",
     "z[1,4,3,2,2] = conv(x = x, weight = w, bias = b, strides = {1, 1, 2}, groups = int32(2))"},
    {"x[1,2,3,3,3], w[3,2,1,1,1]", "z[1,3,3,3,3] = conv(x = x, weight = w)"},

    {"x[2,3,4], w[3,2,3], b[2]", "z[2,2,6] = conv_transpose(x = x, weight = w, bias = b)"},
    {"x[2,4,3,4], w[4,3,2,3]",
     "z[2,6,5,5] = conv_transpose(x = x, weight = w, strides = {2, 1}, pad_type = "
     "string(\"custom\"), pad = {0, 1, 1, 0}, groups = int32(2))"},
    {"x[1,2,3], w[2,3,3]",
     "z[1,3,6] = conv_transpose(x = x, weight = w, strides = {2}, pad_type = string(\"same\"))"},
    // more than x reaches, and so much that a conv of it has more positions than x
    {"x[1,2,3], w[2,1,2]",
     "z[1,1,9] = conv_transpose(x = x, weight = w, strides = {2}, dilations = {2}, output_shape = "
     "{1, 1, 9})"},
    {"x[1,2,2], w[2,1,2]",
     "z[1,1,8] = conv_transpose(x = x, weight = w, strides = {2}, output_shape = {1, 1, 8})"},
    {"x[1,2,2,3], w[2,2,1,1]", "z[1,2,3,5] = conv_transpose(x = x, weight = w, strides = {2, 2})"},
    {"x[1,2,3], w[2,2,1]",
     "z[1,2,5] = conv_transpose(x = x, weight = w, output_shape = {1, 2, 5})"},
    {"x[1,2,2,2,3], w[2,1,2,1,2]",
     "z[1,2,3,3,4] = conv_transpose(x = x, weight = w, strides = {1, 2, 1}, groups = int32(2))"},
    {"x:fp32[1,2,3], w[2,3,2]", "z:fp32[1,3,4] = conv_transpose(x = x, weight = w)", -1, 1, 0,
     0.25},
    // few windows: two greatest elements must differ when they are rounded to bf16, too
    {"x[2,2,7]",
     "z[2,2,3] = max_pool(x = x, kernel_sizes = {3}, strides = {2}, pad_type = "
     "string(\"valid\"))"},
    {"x[1,2,4,5]",
     "z[1,2,4,5] = max_pool(x = x, kernel_sizes = {3, 3}, pad_type = string(\"same\"))"},
    {"x[1,2,5,5]",
     "z[1,2,3,3] = max_pool(x = x, kernel_sizes = {2, 2}, strides = {2, 2}, pad_type = "
     "string(\"valid\"), ceil_mode = bool(true))"},
    {"x[1,2,3,4,3]",
     "z[1,2,2,3,2] = max_pool(x = x, kernel_sizes = {2, 2, 2}, pad_type = string(\"valid\"))"},
    // windows of padding alone
    {"x[1,2,3]",
     "y[1,2,4] = max_pool(x = x, kernel_sizes = {2}, strides = {3}, pad_type = "
     "string(\"custom\"), pad = {5, 3}); z[1,2,4] = relu(x = y)"},
    {"x[2,2,7]",
     "z[2,2,3] = avg_pool(x = x, kernel_sizes = {3}, strides = {2}, pad_type = "
     "string(\"valid\"))"},
    {"x[1,3,5,6]",
     "z[1,3,5,6] = avg_pool(x = x, kernel_sizes = {3, 2}, pad_type = string(\"same_lower\"))"},
    {"x[1,3,5,6]",
     "z[1,3,3,3] = avg_pool(x = x, kernel_sizes = {3, 3}, strides = {2, 2}, pad_type = "
     "string(\"same\"), exclude_padding_from_average = bool(true))"},
    {"x[1,2,6,5]",
     "z[1,2,4,3] = avg_pool(x = x, kernel_sizes = {3, 3}, strides = {2, 2}, pad_type = "
     "string(\"custom\"), pad = {1, 1, 1, 1}, ceil_mode = bool(true))"},
    {"x[1,2,3]",
     "z[1,2,4] = avg_pool(x = x, kernel_sizes = {2}, strides = {3}, pad_type = "
     "string(\"custom\"), pad = {5, 3}, exclude_padding_from_average = bool(true))"},
    {"x[1,2,3,4,3]",
     "z[1,2,2,2,2] = avg_pool(x = x, kernel_sizes = {2, 2, 2}, strides = {1, 2, 1}, pad_type = "
     "string(\"valid\"))"},
    {"x[1,2,4,4]",
     "z[1,2,1,1] = avg_pool(x = x, kernel_sizes = {4, 4}, pad_type = string(\"valid\"))"},
    {"x[1,2,5,5]",
     "z[1,2,2,2] = l2_pool(x = x, kernel_sizes = {3, 3}, strides = {2, 2}, pad_type = "
     "string(\"valid\"))",
     0.1, 2},
    {"x[1,2,6]",
     "z[1,2,4] = l2_pool(x = x, kernel_sizes = {3}, strides = {2}, pad_type = "
     "string(\"custom\"), pad = {1, 1}, ceil_mode = bool(true))",
     0.1, 2},

    // normalisation
    {"x[2,3,4], g[3], b[3]",
     "y[2,3,4] = instance_norm(x = x, gamma = g, beta = b); z[2,3,4] = square(x = y)"},
    {"x[2,2,3,4]",
     "y[2,2,3,4] = instance_norm(x = x, epsilon = fp64(0.01)); z[2,2,3,4] = square(x = y)"},
    {"x[1,2,2,3,2], g:fp32[2], b:fp32[2]",
     "y[1,2,2,3,2] = instance_norm(x = x, gamma = g, beta = b, epsilon = fp64(0.1)); "
     "z[1,2,2,3,2] = square(x = y)",
     0, 0, 0, 1e-4},
    {"x[2,3,4], m[3], v[3], g[3], b[3]",
     "y[2,3,4] = batch_norm(x = x, mean = m, variance = v, gamma = g, beta = b); z[2,3,4] = "
     "square(x = y)",
     0.2, 2},
    {"x[2,3,2,2], m[3], v[3]",
     "y[2,3,2,2] = batch_norm(x = x, mean = m, variance = v, epsilon = fp64(0.25)); z[2,3,2,2] = "
     "square(x = y)",
     0.2, 2},
    {"x[1,2,3], m:fp32[2], v:fp32[2], g:fp32[2], b:fp32[2]",
     "y[1,2,3] = batch_norm(x = x, mean = m, variance = v, gamma = g, beta = b); z[1,2,3] = "
     "square(x = y)",
     0.5, 2, 0, 1e-4},
    {"x[3,5]", "z[3,5] = softmax(x = x)"},
    {"x[3,4,2]", "z[3,4,2] = softmax(x = x, axis = int32(1))"},
    {"x[3,5], g[5], b[5]", "z[3,5] = layer_norm(x = x, axes = {-1}, gamma = g, beta = b)"},
    {"x[2,3,4]", "z[2,3,4] = layer_norm(x = x, axes = {1, 2}, epsilon = fp64(0.01))"},
    {"x[2,3,4], g[2,4], b[2,4]",
     "z[2,3,4] = layer_norm(x = x, axes = {0, 2}, gamma = g, beta = b)"},
    {"x[2,5,3], g[5]", "z[2,5,3] = layer_norm(x = x, axes = {1}, gamma = g)"},
    {"x[2,3]", "z[2,3] = layer_norm(x = x)"},
    // Differences whose squares are infinite in fp16.
    {"x[2,5], g[5]",
     "y[2,5] = mul(x = x, y = fp64(2048)); "
     "z[2,5] = layer_norm(x = y, axes = {1}, gamma = g)"},
    {"x[3,5], g:fp32[5], b:fp32[5]",
     "y[3,5] = layer_norm(x = x, axes = {1}, gamma = g, beta = b, epsilon = fp32(0.01)); "
     "z[3,5] = square(x = y)",
     0, 0, 0, 1e-4},

    // reductions
    REDUCE_CASES("reduce_sum", 0, 0),
    REDUCE_CASES("reduce_mean", 0, 0),
    REDUCE_CASES("reduce_max", 0, 0),
    REDUCE_CASES("reduce_min", 0, 0),
    REDUCE_CASES("reduce_prod", 0.5, 1.5),
    REDUCE_CASES("reduce_sum_square", 0, 0),
    REDUCE_CASES("reduce_l1_norm", 0, 0),
    REDUCE_CASES("reduce_l2_norm", 0, 0),
    REDUCE_CASES("reduce_log_sum", 0.3, 2),
    REDUCE_CASES("reduce_log_sum_exp", 0, 0),
    {"x[3,4]", "z[3,4] = cumsum(x = x)"},
    {"x[3,4]", "z[3,4] = cumsum(x = x, axis = int32(-1), exclusive = bool(true))"},
    {"x[3,4]", "z[3,4] = cumsum(x = x, axis = int32(1), reverse = bool(true))"},
    {"x[3,4]",
     "z[3,4] = cumsum(x = x, axis = int32(0), exclusive = bool(true), reverse = bool(true))"},

    // What reductions hand on is the same along an axis: into broadcasts, views, other reductions.
    {"x[3,4], y[3,1], w[4]",
     "a[3,4] = mul(x = x, y = y); b[3,4] = add(x = a, y = w); c[3,4] = sin(x = b); "
     "z[3] = reduce_sum(x = c, axes = {1}); d[3,4] = sub(x = w, y = x); "
     "y0[] = reduce_mean(x = d)"},
    {"x[3,4], w[1,4]",
     "a[12] = reshape(x = x, shape = {12}); z[] = reduce_sum(x = a); "
     "b[3,4] = mul(x = x, y = w); c[3,1] = reduce_mean(x = b, axes = {1}, keep_dims = bool(true)); "
     "d[] = reduce_sum_square(x = c); e[4] = reduce_sum(x = x, axes = {0}); f[1,4] = relu(x = w); "
     "g[] = reduce_sum(x = f); h[3,4] = silu_gate(x = x, y = x); i[] = reduce_mean(x = h)"},
    {"x[3,5], g[5]",  // RMS norm as public operations
     "s[3,5] = mul(x = x, y = x); m[3,1] = reduce_mean(x = s, axes = {-1}, keep_dims = "
     "bool(true)); "
     "r[3,1] = rsqrt(x = m, epsilon = fp64(0.001)); n[3,5] = mul(x = x, y = r); "
     "z[3,5] = mul(x = n, y = g)"},

    // shape
    {"x[3,4]", "z[2,6] = reshape(x = x, shape = {2, -1})"},
    {"x[3,4,2]", "z[2,3,4] = transpose(x = x, perm = {2, 0, -2})"},
    {"x[3,4]", "z[1,3,4,1] = expand_dims(x = x, axes = {0, -1})"},
    {"x[1,3,1,2]", "z[3,2] = squeeze(x = x); w[1,3,2] = squeeze(x = x, axes = {2})"},
    {"x[4,5]", "z[2,3] = slice_by_size(x = x, begin = {1, 2}, size = {2, -1})"},
    {"x[4,5], at:int32[2]", "z[2,3] = slice_by_size(x = x, begin = at, size = {2, 3})", 0, 0, 2},
    {"x[4,5]", "z[2,3] = slice_by_index(x = x, begin = {1, -3}, end = {3, 5})"},
    {"x[7,5]", "z[3,2] = slice_by_index(x = x, begin = {1, 0}, end = {6, 4}, stride = {2, 3})"},
    {"x[7,5]",
     "z[3,5] = slice_by_index(x = x, begin = {5, 4}, end = {0, 0}, stride = {-2, -1}, "
     "begin_mask = {false, true}, end_mask = {false, true})"},
    {"x[3,4,5]",
     "z[4] = slice_by_index(x = x, begin = {1, 0, -1}, end = {2, 4, 5}, "
     "squeeze_mask = {true, false, true})"},
    {"x[4,5], a:int32[2], b:int32[2]",
     "e:int32[2] = add(x = a, y = {2, 3}); "
     "z[2,3] = slice_by_index(x = x, begin = a, end = e); y[4,5] = add(x = x, y = x)",
     0, 0, 2},
    {"x[4,5], at:int32[2]",  // begin counted from the end
     "n:int32[2] = sub(x = at, y = {2, 3}); "
     "z[2,3] = slice_by_size(x = x, begin = n, size = {2, 3})",
     0, 0, 1},
    {"x[4,5], u[2,3], at:int32[2]",
     "e:int32[2] = add(x = at, y = {2, 3}); "
     "z[4,5] = slice_update(x = x, update = u, begin = at, end = e)",
     0, 0, 2},
    {"x[4,5], u[2,3]", "z[4,5] = slice_update(x = x, update = u, begin = {1, 2}, end = {3, 5})"},
    {"x[5,4], u[2,2]",
     "z[5,4] = slice_update(x = x, update = u, begin = {0, 1}, end = {4, 4}, stride = {2, 2})"},
    {"x[3,2], y[3,1], w[3,4]", "z[3,7] = concat(values = (x, y, w), axis = int32(-1))"},
    {"x[2,3], y[2,3]",
     "z[4,3] = concat(values = (x, y), axis = int32(0), interleave = bool(true))"},
    {"x[2,3], y[2,3]",
     "z[2,3,2] = stack(values = (x, y), axis = int32(-1)); "
     "w[2,2,3] = stack(values = (y, x), axis = int32(1))"},
    {"x[2,7]", "a[2,3], b[2,4] = split(x = x, axis = int32(1), split_sizes = {3, 4})"},
    {"x[6,2]",
     "a[2,2], b[2,2], c[2,2] = split(x = x, axis = int32(0), num_splits = int32(3)); "
     "z[2,2] = mul(x = a, y = c)"},
    {"x[2,7]",
     "a[2,3], b[2,4] = split(x = x, axis = int32(1), split_sizes = {3, 4}); "
     "z[2,4] = sin(x = b)"},
    {"x[2,3]", "z[4,9] = tile(x = x, reps = {2, 3})"},
    {"x[2,1,3]", "z[2,4,3] = tile(x = x, reps = {1, 4, 1})"},
    {"x[3,4]",
     "z[5,4] = pad(x = x, pad = {1, 1, 0, 0}); "
     "w[3,7] = pad(x = x, pad = {2, 1}, constant_val = fp64(3))"},
    {"x[4,5]", "z[7,9] = pad(x = x, pad = {3, 0, 1, 3}, mode = string(\"reflect\"))"},
    {"x[2,3]", "z[5,6] = pad(x = x, pad = {1, 2, 3, 0}, mode = string(\"replicate\"))"},
    {"x[3,4]", "z[3,4] = reverse(x = x); w[3,4] = reverse(x = x, axes = {-1})"},

    // gather and scatter
    {"x[5,3], i:int32[4]", "z[4,3] = gather(x = x, indices = i)", 0, 0, 5},
    {"x[3,5,2], i:int32[2,3]", "z[3,2,3,2] = gather(x = x, indices = i, axis = int32(1))", 0, 0, 5},
    {"x[3,5], i:int32[]", "z[3] = gather(x = x, indices = i, axis = int32(-1))", 0, 0, 5},
    {"x[3,5]", "z[3,3] = gather(x = x, indices = {-1, 2, -1}, axis = int32(1))"},
    {"x[2,5,3], i:int32[2,4]",
     "z[2,4,3] = gather(x = x, indices = i, axis = int32(1), batch_dims = int32(1))", 0, 0, 5},
    {"x[2,3,5,2], i:int32[2,4]",
     "z[2,3,4,2] = gather(x = x, indices = i, axis = int32(2), batch_dims = int32(1))", 0, 0, 5},
    {"x[2,3,5], i:int32[2,3,4]",
     "z[2,3,4] = gather(x = x, indices = i, axis = int32(2), batch_dims = int32(2))", 0, 0, 5},
    {"x[4,3], i:int32[2,3]", "z[2,3] = gather_along_axis(x = x, indices = i)", 0, 0, 4},
    {"x[3,4], i:int32[3,6]", "z[3,6] = gather_along_axis(x = x, indices = i, axis = int32(1))", 0,
     0, 4},
#define SCATTER_CASE(mode)                                                                  \
  {"x[5,3], u[4,3], i:int32[4]",                                                            \
   "z[5,3] = scatter(data = x, indices = i, updates = u, "                                  \
   "mode = string(\"" mode "\"))",                                                          \
   0.5, 2, 5},                                                                              \
  {                                                                                         \
    "x[3,4], u[3,5], i:int32[3,5]",                                                         \
        "z[3,4] = scatter_along_axis(data = x, indices = i, updates = u, axis = int32(1), " \
        "mode = string(\"" mode "\"))",                                                     \
        0.5, 2, 4                                                                           \
  }
    SCATTER_CASE("add"),
    SCATTER_CASE("sub"),
    SCATTER_CASE("mul"),
    SCATTER_CASE("div"),
    SCATTER_CASE("max"),
    SCATTER_CASE("min"),
    {"x[2,5], u[2,3]",
     "z[2,5] = scatter(data = x, indices = {3, -5, 1}, updates = u, axis = int32(1), "
     "mode = string(\"update\"))"},
    {"x[4,2], u[1,2], i:int32[1,2]",
     "z[4,2] = scatter_along_axis(data = x, indices = i, updates = u, mode = string(\"update\"))",
     0, 0, 4},

    // composites
    // nothing in an axis
    {"x[0,3], w[3,2]",
     "m[0,2] = matmul(x = x, y = w); z[2] = reduce_sum(x = m, axes = {0}); "
     "y[0,2] = sin(x = m)"},
    {"x[2,3], y[0,3]",
     "c[2,3] = concat(values = (x, y), axis = int32(0)); z[2,3] = sin(x = c); "
     "w[] = reduce_sum(x = y)"},
    {"x[3,5], w[5]", "z[3,5] = rms_norm(x = x, weight = w)"},
    {"x[2,3,4], w[4]", "z[2,3,4] = rms_norm(x = x, weight = w, epsilon = fp32(0.01))"},
    {"x[2,3,6], c[3,3], s[3,3]", "z[2,3,6] = rope(x = x, cos = c, sin = s)"},
    {"x[2,2,3,4], c[3,2], s[3,2]",
     "z[2,2,3,4] = rope(x = x, cos = c, sin = s, pairing = string(\"half\"))"},
    {"x[2,3,4], c[3,2], s[3,2]", "z[2,3,4] = rope(x = x, cos = c, sin = s, inverse = bool(true))"},
    {"q[2,2,3,4], k[2,2,3,4], v[2,2,3,4]",
     "o[2,2,3,4], l[2,2,3] = attention(query = q, key = k, value = v, scale = fp32(0.5))"},
    {"q[1,4,3,2], k[1,2,3,2], v[1,2,3,2]",
     "o[1,4,3,2], l[1,4,3] = attention(query = q, key = k, value = v, scale = fp32(0.5)); "
     "z[1,4,3,2] = mul(x = o, y = o)"},
    {"q[1,4,3,2], k[1,2,5,2], v[1,2,5,2], p:int32[]",
     "o[1,4,3,2], l[1,4,3] = attention(query = q, key = k, value = v, scale = fp32(0.7), "
     "position = p)",
     0, 0, 3},
    {"q[2,3,2,4], k[2,1,5,4], v[2,1,5,4]",
     "o[2,3,2,4], l[2,3,2] = attention(query = q, key = k, value = v, scale = fp32(0.3), "
     "causal = bool(false))"},
    {"s[3,2], d:int8[3,6]", "z[3,6] = scale_blocks(data = d, scale = s)", 0, 0, 7},
    {"x[3,5], y[3,5]", "z[3,5] = silu_gate(x = x, y = y)"},
    {"x[4,7], t:int32[4]", "z[4], l[4] = cross_entropy(logits = x, target = t)", -4, 4, 7},
    {"x[4,7], t:int32[4]",
     "z[4], l[4] = cross_entropy(logits = x, target = t); "
     "m[] = reduce_mean(x = z)",
     -4, 4, 7},

    // whole blocks
    {"x[3,4], w[4,4], v[4]",  // a value used many times, two outputs
     "h[3,4] = matmul(x = x, y = w); a[3,4] = relu(x = h); b[3,4] = add(x = a, y = h); "
     "c[3,4] = mul(x = b, y = h); y[3,4] = add(x = c, y = v); z[] = reduce_sum(x = h)"},
    {"x[2,3,4], w[6,4], u[6,4], d[4,6]",  // SwiGLU
     "g[2,3,6] = linear(x = x, weight = w); n[2,3,6] = linear(x = x, weight = u); "
     "s[2,3,6] = silu(x = g); h[2,3,6] = mul(x = s, y = n); z[2,3,4] = linear(x = h, weight = d)"},
    {"x[3,4], i:int32[3]",  // integers and bools on the way, and a constant output's seed
     "m:bool[3,4] = greater(x = x, y = fp64(0)); f[3,4] = cast(x = m, dtype = string(\"fp64\")); "
     "j:int32[3] = add(x = i, y = i); z[3,4] = mul(x = x, y = f)",
     0, 0, 3},
    {"x[2,4], y[3]",  // y reaches no output
     "z[2,4] = tanh(x = x)"},
};
#pragma GCC diagnostic pop

enum { GRAD_CASES = sizeof grad_cases / sizeof *grad_cases };

#endif
