/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Vector instructions for guests whose C code has none; sstatus.VS must not be Off.
 *
 *   void v_load(const void *from);			v0 .. v31, 32 * vlenb bytes
 *   void v_store(void *to);
 *   u64 v_set(u64 avl, u64 vtype);			the new vl
 *   void v_load_bytes(u64 from);			vl bytes, into v0 .. v7 if vtype says so
 *   void v_store_bytes(u64 to);
 */
	.option arch, +v
	.text
	.globl	v_load, v_store, v_set, v_load_bytes, v_store_bytes
v_load:
	csrr	t0, vlenb
	slli	t0, t0, 3
	.irp	i, 0, 8, 16, 24
	vl8re8.v v\i, (a0)
	add	a0, a0, t0
	.endr
	ret

v_store:
	csrr	t0, vlenb
	slli	t0, t0, 3
	.irp	i, 0, 8, 16, 24
	vs8r.v	v\i, (a0)
	add	a0, a0, t0
	.endr
	ret

v_set:
	vsetvl	a0, a0, a1
	ret

v_load_bytes:
	vle8.v	v0, (a0)
	ret

v_store_bytes:
	vse8.v	v0, (a0)
	ret
