from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('jobs', '0002_preset_photo_titles'),
    ]

    operations = [
        migrations.AddField(
            model_name='job',
            name='turn',
            field=models.BigIntegerField(default=0, editable=False, verbose_name='turn'),
        ),
        migrations.RemoveIndex(
            model_name='job',
            name='jobs_job_queue',
        ),
        migrations.AddIndex(
            model_name='job',
            index=models.Index(condition=models.Q(('status', 'queued')), fields=['-priority', 'turn', 'id'], name='jobs_job_line'),
        ),
        migrations.AddIndex(
            model_name='job',
            index=models.Index(condition=models.Q(('status', 'queued'), ('waiting_for_gpu', True)), fields=['id'], name='jobs_job_waiting'),
        ),
        migrations.DeleteModel(
            name='Served',
        ),
    ]
