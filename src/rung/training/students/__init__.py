"""Knowledge distillation: small, fast students that give the answers of a teacher."""
