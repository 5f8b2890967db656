# The version stands in one place: include/milo/milo.h.
file(STRINGS ${CMAKE_CURRENT_LIST_DIR}/../include/milo/milo.h milo_version_line
     REGEX "^#define MILO_VERSION \"")
string(REGEX REPLACE ".*\"(.*)\".*" "\\1" MILO_VERSION "${milo_version_line}")
