# The GStreamer element in a harness, and in pipelines as gst-launch-1.0 runs them.
if(TARGET gstfastscnn)
  pkg_check_modules(GSTREAMER_CHECK REQUIRED IMPORTED_TARGET gstreamer-check-1.0 gstreamer-video-1.0)
  set(gst ${CMAKE_CURRENT_LIST_DIR})
  fs_criterion_test(test_gst ${gst}/element.c ${gst}/stream.c ${gst}/video.c
    ${CMAKE_SOURCE_DIR}/tests/weights/files.c)
  target_link_libraries(test_gst PRIVATE PkgConfig::GSTREAMER_CHECK)
  add_dependencies(test_gst gstfastscnn)
  find_program(FASTSCNN_PYTHON3 python3 REQUIRED)
  add_test(NAME test_gst_pipelines COMMAND ${FASTSCNN_PYTHON3} -B ${gst}/pipelines.py $<TARGET_FILE:fastscnn_cli>
    $<TARGET_FILE:gstfastscnn>)
  set_tests_properties(test_gst_pipelines PROPERTIES SKIP_RETURN_CODE 77 TIMEOUT 300)
else()
  add_test(NAME test_gst COMMAND sh -c "echo 'SKIP: this build has no GStreamer element'; exit 77")
  set_tests_properties(test_gst PROPERTIES SKIP_RETURN_CODE 77)
endif()
