# milo_module, milo_library, milo_tool, milo_examples, milo_test, milo_fuzz. Sources are collected
# by folder, so that adding a file touches no list.
find_package(Threads REQUIRED)
find_package(PkgConfig REQUIRED)
pkg_check_modules(CJSON REQUIRED IMPORTED_TARGET libcjson)

# ---- flags of every target -------------------------------------------------------------------
# No flag here changes a value: sums stay in the order written, products are not contracted, and no
# instruction set beyond the platform's is assumed (kernels use target attributes).
add_library(milo_flags INTERFACE)
target_compile_features(milo_flags INTERFACE c_std_17)
target_compile_definitions(milo_flags INTERFACE _GNU_SOURCE)
target_compile_options(milo_flags INTERFACE -ffp-contract=off -fno-math-errno -fno-trapping-math)
target_compile_options(
  milo_flags
  INTERFACE -Wall
            -Wextra
            -Wpedantic
            -Wshadow
            -Wconversion
            -Wno-sign-conversion
            -Wmissing-prototypes
            -Wstrict-prototypes
            -Wundef
            -Wvla
            -Wcast-qual
            -Wdouble-promotion
            $<$<BOOL:${MILO_WERROR}>:-Werror>)
target_include_directories(
  milo_flags INTERFACE $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include>
                       $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/src>)
if(MILO_SANITIZE)
  target_compile_options(milo_flags INTERFACE -fsanitize=${MILO_SANITIZE} -fno-omit-frame-pointer)
  target_link_options(milo_flags INTERFACE -fsanitize=${MILO_SANITIZE})
  if(MILO_SANITIZE MATCHES undefined)
    target_compile_options(milo_flags INTERFACE -fno-sanitize-recover=undefined)
  endif()
endif()
if(MILO_COVERAGE)
  target_compile_options(milo_flags INTERFACE --coverage)
  target_link_options(milo_flags INTERFACE --coverage)
endif()
if(MILO_FUZZ)
  target_compile_options(milo_flags INTERFACE -fsanitize=fuzzer-no-link)
  target_link_options(milo_flags INTERFACE -fsanitize=fuzzer-no-link)
endif()

set(CMAKE_C_EXTENSIONS OFF)
set(CMAKE_C_VISIBILITY_PRESET hidden)

# ---- library ---------------------------------------------------------------------------------
set_property(GLOBAL PROPERTY milo_modules "")

# An object library of src/NAME/**/*.c. A folder without sources is skipped. NO_FUZZ: fuzzers reach
# it with nothing that came from outside; instrumented, it takes clang many minutes.
function(milo_module name)
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/src/${name}/*.c)
  if(NOT sources)
    return()
  endif()
  add_library(milo_${name} OBJECT ${sources})
  # clang needs minutes for instrumented vector kernels. fuzz_run reaches them: its corpus is replayed
  # with the sanitizers by the asan preset.
  if(MILO_FUZZ AND name STREQUAL kernels)
    set_source_files_properties(${sources} PROPERTIES COMPILE_OPTIONS -fno-sanitize=all)
  endif()
  target_link_libraries(milo_${name} PRIVATE milo_flags PkgConfig::CJSON)
  set_target_properties(milo_${name} PROPERTIES POSITION_INDEPENDENT_CODE ON)
  if(MILO_FUZZ AND "NO_FUZZ" IN_LIST ARGN)
    # At the sources: these options come last.
    set_source_files_properties(${sources} PROPERTIES COMPILE_OPTIONS -fno-sanitize=all)
  endif()
  set_property(GLOBAL APPEND PROPERTY milo_modules milo_${name})
endfunction()

# libmilo, shared (milo::milo) and static (milo::milo_static), from the modules so far.
function(milo_library)
  get_property(modules GLOBAL PROPERTY milo_modules)
  foreach(kind shared static)
    set(target milo_${kind})
    string(TOUPPER ${kind} type)
    add_library(${target} ${type})
    foreach(module ${modules})
      target_sources(${target} PRIVATE $<TARGET_OBJECTS:${module}>)
    endforeach()
    target_include_directories(
      ${target} PUBLIC $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include>
                       $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
    target_link_libraries(${target} PRIVATE Threads::Threads PkgConfig::CJSON ${CMAKE_DL_LIBS} m)
    target_link_options(${target} PRIVATE $<TARGET_PROPERTY:milo_flags,INTERFACE_LINK_OPTIONS>)
    set_target_properties(${target} PROPERTIES OUTPUT_NAME milo)
  endforeach()
  # Before 1.0 any minor version may change the interface.
  set_target_properties(
    milo_shared PROPERTIES EXPORT_NAME milo VERSION ${PROJECT_VERSION}
                           SOVERSION ${PROJECT_VERSION_MAJOR}.${PROJECT_VERSION_MINOR})
endfunction()

# ---- programs --------------------------------------------------------------------------------
# The command: all .c files of a folder. It sees the public header and its own folder only.
function(milo_tool name folder)
  file(GLOB sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/${folder}/*.c)
  if(NOT sources)
    return()
  endif()
  add_executable(${name} ${sources})
  milo_client(${name})
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR})
endfunction()

# Flags of a program that uses libmilo through its public header only. Linked statically, so that a
# copied command still runs.
function(milo_client target)
  target_compile_features(${target} PRIVATE c_std_17)
  target_compile_definitions(${target} PRIVATE _GNU_SOURCE)
  target_compile_options(${target}
                         PRIVATE $<TARGET_PROPERTY:milo_flags,INTERFACE_COMPILE_OPTIONS>)
  target_link_libraries(${target} PRIVATE milo_static m)
  target_link_options(${target} PRIVATE $<TARGET_PROPERTY:milo_flags,INTERFACE_LINK_OPTIONS>)
endfunction()

# libane_bridge: the functions of <milo/ane_bridge.h> over milo.h; nothing of libmilo shows.
function(milo_bridge folder)
  file(GLOB sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/${folder}/*.c)
  add_library(ane_bridge SHARED ${sources})
  milo_client(ane_bridge)
  target_include_directories(ane_bridge PUBLIC $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include>)
  set_target_properties(ane_bridge PROPERTIES LIBRARY_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR})
  if(APPLE)
    target_link_options(ane_bridge PRIVATE "LINKER:-exported_symbol,_ane_bridge_*")
  else()
    target_link_options(ane_bridge PRIVATE "LINKER:--exclude-libs,ALL")
  endif()
endfunction()

# Every .c file of a folder is a program, run as a test without arguments in a folder of its own.
function(milo_examples folder)
  file(GLOB sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/${folder}/*.c)
  foreach(source ${sources})
    get_filename_component(name ${source} NAME_WE)
    add_executable(example_${name} ${source})
    milo_client(example_${name})
    if(MILO_TESTS)
      set(run_dir ${PROJECT_BINARY_DIR}/examples/${name})
      file(MAKE_DIRECTORY ${run_dir})
      add_test(NAME example_${name} COMMAND example_${name} WORKING_DIRECTORY ${run_dir})
      milo_test_properties(example_${name} ${source} example)
    endif()
  endforeach()
endfunction()

# ---- tests -----------------------------------------------------------------------------------
# The command as scripts start it: of a cross build, through a script that calls the emulator, for
# only CTest itself knows CMAKE_CROSSCOMPILING_EMULATOR.
set(milo_tool $<TARGET_FILE:milo>)
if(CMAKE_CROSSCOMPILING_EMULATOR)
  set(milo_tool ${PROJECT_BINARY_DIR}/milo-emulated)
  list(JOIN CMAKE_CROSSCOMPILING_EMULATOR " " emulator)
  file(GENERATE OUTPUT ${milo_tool} CONTENT "#!/bin/sh\nexec ${emulator} $<TARGET_FILE:milo> \"$@\"\n"
       FILE_PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE)
endif()

# Labels, time limit and environment of a test. A source may set more properties in one line:
#   // ctest: LABELS threads;shared TIMEOUT 600       (# instead of // in scripts)
function(milo_test_properties test source label)
  set(environment MILO_SOURCE=${PROJECT_SOURCE_DIR} MILO_BUILD=${PROJECT_BINARY_DIR})
  if(TARGET milo)
    list(APPEND environment MILO_TOOL=${milo_tool})
  endif()
  if(MILO_SANITIZE) # as without sanitizer, a request that is too large fails and is reported
    list(APPEND environment ASAN_OPTIONS=allocator_may_return_null=1)
  endif()
  if(MILO_SHARED)
    list(APPEND environment MILO_SHARED=${MILO_SHARED})
  endif()
  set(seconds 300)
  if(CMAKE_CROSSCOMPILING) # run by an emulator
    set(seconds 1500)
  endif()
  set_tests_properties(${test} PROPERTIES LABELS ${label} TIMEOUT ${seconds} SKIP_RETURN_CODE 77
                                          ENVIRONMENT "${environment}")
  file(STRINGS ${source} lines REGEX "^(//|#) ctest: " LIMIT_COUNT 1)
  if(lines)
    # A list separator inside the line would end it: keep it apart while splitting.
    string(REGEX REPLACE "^(//|#) ctest: " "" words "${lines}")
    string(REPLACE "\\;" ";" words "${words}")
    string(REPLACE ";" "|" words "${words}")
    separate_arguments(words UNIX_COMMAND "${words}")
    while(words)
      list(POP_FRONT words key value)
      string(REPLACE "|" ";" value "${value}")
      if(key STREQUAL LABELS)
        list(PREPEND value ${label})
      endif()
      set_tests_properties(${test} PROPERTIES ${key} "${value}")
    endwhile()
  endif()
endfunction()

# One test program (test_*.c, linked with the whole library and its inner headers) or script
# (test_*.sh). Runs in the source folder, so that fixtures are named relative to it. The label is
# the folder's name.
function(milo_test source)
  get_filename_component(name ${source} NAME_WE)
  get_filename_component(folder ${source} DIRECTORY)
  get_filename_component(label ${folder} NAME)
  if(source MATCHES "\\.sh$")
    add_test(NAME ${name} COMMAND bash ${source} WORKING_DIRECTORY ${PROJECT_SOURCE_DIR})
  else()
    add_executable(${name} ${source})
    target_link_libraries(${name} PRIVATE milo_flags milo_static PkgConfig::CJSON m)
    target_include_directories(${name} PRIVATE ${PROJECT_SOURCE_DIR}/tests)
    add_test(NAME ${name} COMMAND ${name} WORKING_DIRECTORY ${PROJECT_SOURCE_DIR})
  endif()
  milo_test_properties(${name} ${source} ${label})
endfunction()

# A fuzz target tests/fuzz/fuzz_<t>.c. Everywhere its corpus tests/fuzz/corpus/<t>/ is replayed as
# a test; with MILO_FUZZ there is also the fuzzer itself.
function(milo_fuzz source)
  get_filename_component(name ${source} NAME_WE)
  string(REGEX REPLACE "^fuzz_" "" target ${name})
  set(corpus ${PROJECT_SOURCE_DIR}/tests/fuzz/corpus/${target})
  add_executable(replay_${target} ${source} ${PROJECT_SOURCE_DIR}/tests/fuzz/replay.c)
  target_link_libraries(replay_${target} PRIVATE milo_flags milo_static m)
  add_test(NAME replay_${target} COMMAND replay_${target} ${corpus})
  milo_test_properties(replay_${target} ${source} fuzz)
  if(MILO_FUZZ)
    add_executable(${name} ${source})
    target_link_libraries(${name} PRIVATE milo_flags milo_static m)
    target_link_options(${name} PRIVATE -fsanitize=fuzzer)
  endif()
endfunction()
