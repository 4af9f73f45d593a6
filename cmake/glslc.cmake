# Runs glslc and wraps its word list as a C array, as glslangValidator --vn does. Called by shaders.cmake.
execute_process(COMMAND ${GLSLC} --target-env=vulkan1.1 -O -I${INCLUDE} ${DEFINES} -MD -MF ${OUT}.d -MT ${OUT} -mfmt=num
  -o ${OUT}.words ${SRC} COMMAND_ERROR_IS_FATAL ANY)
file(READ ${OUT}.words words)
file(WRITE ${OUT} "const uint32_t ${NAME}[] = {\n${words}};\n")
file(REMOVE ${OUT}.words)
