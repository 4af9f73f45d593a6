# Writes the bytes of SRC as the C array NAME in OUT.
file(READ ${SRC} hex HEX)
string(LENGTH "${hex}" digits)
math(EXPR bytes "${digits} / 2")
string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," body "${hex}")
string(REGEX REPLACE "(................................................................................)" "\\1\n" body "${body}")
file(WRITE ${OUT} "extern const unsigned char ${NAME}[];\nextern const unsigned long ${NAME}_bytes;\n"
  "_Alignas(16) const unsigned char ${NAME}[] = {\n${body}};\nconst unsigned long ${NAME}_bytes = ${bytes};\n")
