# Image files: codecs, file access, drawing, the generated street.
foreach(name png jpeg pnm files npy draw scene faults)
  fs_criterion_test(test_image_${name} ${CMAKE_CURRENT_LIST_DIR}/${name}.c LABELS image)
endforeach()
