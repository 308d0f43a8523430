# CMake: probes.h of the host that configures, for targets that link to Probes::Header.
#
#   set(PROBES_LAB ${CMAKE_SOURCE_DIR}/lab.pyz)   # `probes pack -o lab.pyz`, or a clone of the lab
#   include(build-support/Probes.cmake)
#   target_link_libraries(program PRIVATE Probes::Header)
#
# It is measured once for a build folder; remove probes/probes.h there to measure again.  When
# cross-compiling, set PROBES_HEADER to a header that was made on the target.
cmake_minimum_required(VERSION 3.12)

if(NOT DEFINED PROBES_LAB)
  get_filename_component(PROBES_LAB "${CMAKE_CURRENT_LIST_DIR}/.." ABSOLUTE)
endif()
set(_probes_folder "${CMAKE_CURRENT_BINARY_DIR}/probes")
if(PROBES_HEADER)
  configure_file("${PROBES_HEADER}" "${_probes_folder}/probes.h" COPYONLY)
elseif(CMAKE_CROSSCOMPILING)
  message(FATAL_ERROR "Probes: this host is not the target; set PROBES_HEADER to a header made there")
elseif(NOT EXISTS "${_probes_folder}/probes.h")
  find_package(Python3 3.9 REQUIRED COMPONENTS Interpreter)
  if(PROBES_LAB MATCHES "\\.pyz$")
    set(_probes_command "${Python3_EXECUTABLE}" "${PROBES_LAB}")
  else()
    set(_probes_command "${CMAKE_COMMAND}" -E env "PYTHONPATH=${PROBES_LAB}"
        "${Python3_EXECUTABLE}" -m probes)
  endif()
  file(MAKE_DIRECTORY "${_probes_folder}")
  execute_process(
    COMMAND ${_probes_command} report --format header -o "${_probes_folder}/probes.h"
    RESULT_VARIABLE _probes_status
    ERROR_VARIABLE _probes_said)
  if(NOT _probes_status EQUAL 0)
    file(REMOVE "${_probes_folder}/probes.h")
    message(FATAL_ERROR "Probes: could not measure this host: ${_probes_said}")
  endif()
  message(STATUS "Probes: measured this host: ${_probes_folder}/probes.h")
endif()

if(NOT TARGET Probes::Header)
  add_library(Probes::Header INTERFACE IMPORTED)
  set_target_properties(Probes::Header PROPERTIES
    INTERFACE_INCLUDE_DIRECTORIES "${_probes_folder}")
endif()
