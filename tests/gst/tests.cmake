# The GStreamer element in a harness, and in pipelines as gst-launch-1.0 runs them.
if(TARGET gstfastscnn)
  pkg_check_modules(GSTREAMER_CHECK REQUIRED IMPORTED_TARGET gstreamer-check-1.0 gstreamer-video-1.0)
  set(gst ${CMAKE_CURRENT_LIST_DIR})
  fs_criterion_test(test_gst ${gst}/element.c ${gst}/stream.c ${gst}/video.c ${CMAKE_SOURCE_DIR}/host/cli/resample.c
    ${CMAKE_SOURCE_DIR}/tests/weights/files.c)
  target_link_libraries(test_gst PRIVATE PkgConfig::GSTREAMER_CHECK)
  add_dependencies(test_gst gstfastscnn)
endif()
