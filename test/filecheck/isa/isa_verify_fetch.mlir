// RUN: tsp-opt %s -p isa-verify | filecheck %s
// RUN: tsp-opt %s -p isa-disassemble | filecheck %s --check-prefix=BACK

// The queue holds four instructions. Its fifth lies in word 8191 of slices E1 and E2, padded with zeros, and is read in
// time to be on streams E30 and E31 at the position of the queue when that dispatches ifetch.
// CHECK: tsp_isa.packed "MEM.E0" "{{.*}}" chunks <E1[8191] E2[8191]>

// Disassembled, the ifetch and the reads that feed it are gone.
// BACK: tsp_isa.program @main chip 0 cycles 102 {
// BACK-NEXT: tsp_isa.queue "MEM.E0" {
// BACK-NEXT:   tsp_isa.read at 80 address 0 stream E4
// BACK-NEXT:   tsp_isa.read at 81 address 1 stream E4
// BACK-NEXT: }
// BACK-NEXT: }

builtin.module attributes {tsp_isa.target = #tsp_isa.target<chip.queue_bytes = 64, chip.fetch_bytes = 32>} {
  tsp_isa.program @main chip 0 cycles 102 {
    tsp_isa.packed "MEM.E0" "013b0000000000000000000000000000071e0000000000000000000000000000011400000000000000000000000000001000000400000000000000000000000010010004000000000000000000000000" chunks <E1[8191] E2[8191]>
    tsp_isa.packed "MEM.E1" "013a000000000000000000000000000010ff1f1e000000000000000000000000"
    tsp_isa.packed "MEM.E2" "013a000000000000000000000000000010ff1f1f000000000000000000000000"
  }
}
