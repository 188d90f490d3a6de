# Read by ctest, for `ctest -L room` and `-L kind`: a test's room is that of its program, its kind is told by its name.
set(kernels test_kernels test_kernels_cuda test_kernels_cuda_device test_kernels_cudnn)
set(engine test_engine test_engine_data test_engine_cuda test_fuzz)
set(models test_models test_engine_cuda)
set(apps test_apps test_programs test_fuzz)
set(structure test_structure)
set(programs test_programs)  # runs the programs: minutes

set(gradient "GradCheck|Gradient|Slope|Composition|Recompute|Accumulation|Join[.]Backward")
set(parity "Parity|Torch[^F]|UNetExchange|Recorded")
set(cuda "Cuda|Cudnn|Shim|TwoDevices|GpuCheck|GpuModel")
set(trust "BadImages|Checkpoint|Corrupt|DamagedLog|Disk|DurableFile|FuzzReplay|IsExact|Kill|Limits|ListedNames|Memory|NotFinite|\
OneProcess|OtherPeoples|OtherWeights|OutOfMemory|OutsideText|Overwrite|Pickle|Proportion|Resume|RunRecord|Safetensors|Saves|Signals|Snapshot|TorchFile|WrongUse|Xxh64|\
ZipEntries")

foreach(program ${kernels} ${engine} ${models} ${apps} ${structure})
  foreach(test ${${program}_TESTS})
    set(labels)
    foreach(room kernels engine models apps structure programs)
      list(FIND ${room} ${program} at)
      if(at GREATER -1)
        list(APPEND labels ${room})
      endif()
    endforeach()
    foreach(kind gradient parity cuda trust)
      if(test MATCHES "${${kind}}")
        list(APPEND labels ${kind})
      endif()
    endforeach()
    set_tests_properties(${test} PROPERTIES LABELS "${labels}")
  endforeach()
endforeach()
